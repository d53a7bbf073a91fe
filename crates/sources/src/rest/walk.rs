//! Walks from page to page, and waits where it has to.
use super::{
    client::{Answer, Client, Request},
    failure,
    guard::{Guard, prefix},
    incremental::Field,
    next::{Next, Pages},
    page::Page,
    place::{Boundary, PageNumber, State, bad_position},
    pointer::Pointer,
    retry::retry_after,
    rows::{Limits, Rows},
    settings::RestSource,
};
use crate::blocking::blocking;
use dataflow_core::position::Position;
use dataflow_core::warned::Warned;
use dataflow_sdk::{Context, Error, Records, batch::Notice, source::Read};
use reqwest::{StatusCode, header::ETAG};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// What users should know, said while the walk goes on.
pub(super) type Notices = Arc<Mutex<Vec<Notice>>>;

/// The way through the pages.
#[derive(Debug)]
pub(super) struct Walk {
    config: RestSource,
    pages: Pages,
    client: Client,
    field: Option<Field>,
    records: Pointer,
    limits: Limits,
    /// Where the next batch begins.
    from: Position,
    /// The page that is asked for next, and how many of its rows are done.
    state: State,
    row: u64,
    /// The page that is being read.
    open: Option<Rows>,
    guard: Guard,
    /// When the API may be asked again.
    due: Option<Instant>,
    /// When the next request is within the rate.
    paced: Option<Instant>,
    /// Nothing comes any more.
    is_over: bool,
    /// It waits because the API says so.
    is_held: bool,
    notices: Notices,
}

impl Walk {
    pub(super) fn new(
        config: &RestSource,
        cx: &Context,
        from: Option<Position>,
        notices: Notices,
    ) -> Result<Self, Error> {
        let (state, row) = match &from {
            Some(from) => State::of(from).ok_or_else(|| bad_position(from))?,
            None => Default::default(),
        };
        Ok(Self {
            pages: Pages::of(config)?,
            client: Client::new(config, &cx.paths)?,
            field: config.incremental.as_ref().map(Field::of).transpose()?,
            records: Pointer::parse(&config.records).map_err(|why| Error::fatal("bad-property", why))?,
            limits: Limits::of(cx),
            from: from.unwrap_or_else(super::beginning),
            state,
            row,
            open: None,
            guard: Guard::default(),
            due: None,
            paced: None,
            is_over: false,
            is_held: false,
            notices,
            config: config.clone(),
        })
    }

    /// The next records.
    pub(super) async fn step(&mut self) -> Result<Read, Error> {
        loop {
            if let Some(records) = self.batch() {
                return Ok(Read::Records(records));
            }
            if self.is_over {
                return Ok(Read::End);
            }
            self.wait().await;
            let request = self.pages.request(&self.state)?;
            self.guard.asks(&request);
            let answer = self.client.ask(&request, self.state.etag.as_deref()).await?;
            self.take(&request, answer).await?;
        }
    }

    /// The next records of the open page; with the last ones comes where it goes on.
    fn batch(&mut self) -> Option<Records> {
        let rows = self.open.as_mut()?;
        if let Some(records) = rows.next(&self.from, &self.limits) {
            self.from = records.to.clone();
            return Some(records);
        }
        let (from, end) = (self.from.clone(), self.open.take()?.end);
        (self.state, self.row) = end;
        let to = self.state.position(self.row);
        if from.at == to.at {
            return None;
        }
        self.from = to.clone();
        let mut passed = Rows::none(from);
        passed.to = to;
        Some(passed)
    }

    async fn wait(&mut self) {
        let until = self.due.take().max(self.paced);
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
        if let Some(rate) = self.config.requests_per_second {
            let pause = Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::from_secs(3_600));
            self.paced = Some(Instant::now() + pause);
        }
    }

    /// Which page is asked for, for users.
    fn name(&self) -> String {
        format!("{} of {}", self.state.number, self.pages.shown())
    }

    async fn take(&mut self, request: &Request, answer: Answer) -> Result<(), Error> {
        let name = self.name();
        if answer.status == StatusCode::NOT_MODIFIED && self.state.etag.is_some() {
            self.goes_on_asking();
            self.ends();
            return Ok(());
        }
        if matches!(
            answer.status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE | StatusCode::FORBIDDEN
        ) && let Some(wait) = retry_after(&answer.headers)
        {
            self.hold(wait, answer.status);
            return Ok(());
        }
        if answer.status == StatusCode::GONE && self.state.next.is_some() {
            let message = format!("{name} is gone: {}", failure::words(&answer.body));
            return Err(Error::fatal("cursor-gone", message)
                .fix("the API does not keep cursors that long: reset the checkpoint to the beginning")
                .for_user());
        }
        // A part was not asked for, and what is only accepted has no answer yet.
        let is_other = [StatusCode::PARTIAL_CONTENT, StatusCode::ACCEPTED].contains(&answer.status);
        if !answer.status.is_success() || is_other {
            return Err(failure::refused(&name, &answer));
        }
        self.goes_on_asking();
        let (at, missing, named) = (self.records.clone(), self.config.on_missing_records, name.clone());
        let (answer, page) = blocking("rest", move || {
            let page = Page::of(&named, &answer, &at, missing)?;
            Ok((answer, page))
        })
        .await?;
        self.open(&name, request, &answer, page)
    }

    /// Takes a page that was read.
    fn open(&mut self, name: &str, request: &Request, answer: &Answer, page: Page) -> Result<(), Error> {
        self.compare(name, &page)?;
        let (mut rows, greatest) = match &self.field {
            Some(field) => field.new_rows(name, &page, &self.state)?,
            None => ((0..page.records.len()).collect(), Boundary::default()),
        };
        rows.retain(|row| *row as u64 >= self.row);
        if self.pages.are_numbered() {
            let repeated = self.guard.numbered(name, self.state.number, &page, self.pages.parameter())?;
            if repeated > 0 {
                let message = format!(
                    "{repeated} records of {name} are those of the page before: records were inserted or deleted while the pages were read, so \
                     some may be read twice, and others not at all. Pages by cursor don't shift"
                );
                self.warn("pages-shifted", message);
            }
        }
        let end = match self.pages.after(name, &page, answer, self.client.secret_parameter())? {
            Next::Page(next) => self.next_page(name, request, &page, next, &greatest)?,
            Next::End => None,
        };
        let end = match end {
            Some(state) => (state, 0),
            None => {
                self.ends();
                self.end_of_listing(request, answer, &page, greatest, !rows.is_empty())?
            }
        };
        self.open = Some(Rows::new(page, rows, self.state.clone(), end));
        Ok(())
    }

    /// Whether the rows that are done are still what they were.
    fn compare(&mut self, name: &str, page: &Page) -> Result<(), Error> {
        let Some((rows, hash)) = self.state.done else { return Ok(()) };
        let there = page.records.len() as u64;
        if rows <= there && prefix(page, rows as usize) == hash {
            return Ok(());
        }
        let message = format!("{name} has changed since its first {rows} records were read (it has {there} now)");
        if self.config.follow {
            return Err(Error::fatal("page-changed", message + ", so what was added to it can't be told")
                .fix("`follow` is for lists that only grow at their end, oldest records first: sort it so, or use `incremental`"));
        }
        self.warn("page-changed", message + ": records may be missing, or read twice");
        Ok(())
    }

    /// What is known before the next page; none: there is none yet.
    fn next_page(
        &mut self,
        name: &str,
        request: &Request,
        page: &Page,
        next: Option<String>,
        greatest: &Boundary,
    ) -> Result<Option<State>, Error> {
        let State { number, records, since, .. } = &self.state;
        let state = State {
            number: PageNumber { page: number.page + 1, ..*number },
            next,
            records: records + page.records.len() as u64,
            since: since.clone(),
            greatest: greatest.clone(),
            ..State::default()
        };
        let following = self.pages.request(&state)?;
        if following == *request && self.config.follow {
            return Ok(None);
        }
        if self.guard.has_asked(&following) {
            let what = if following == *request { "itself" } else { "a page that was read before" };
            let message = format!("{name} names {what} as the next one, so the list would never end");
            // Not by itself: each try would deliver some of these pages again before it notices.
            return Err(Error::fatal("cursor-repeated", message).fix(
                "correct `pagination`: the API may not know its parameter, or repeat the last cursor at the end, which `more` or `follow` can tell",
            ).for_user());
        }
        self.guard.goes_on(name, page.records.is_empty(), self.config.max_empty_pages)?;
        Ok(Some(state))
    }

    /// Where it goes on after the last page.
    fn end_of_listing(
        &self,
        request: &Request,
        answer: &Answer,
        page: &Page,
        greatest: Boundary,
        has_new: bool,
    ) -> Result<(State, u64), Error> {
        let etag = || answer.headers.get(ETAG).and_then(|etag| etag.to_str().ok()).map(str::to_owned);
        let number = self.state.number;
        let rows = page.records.len();
        if !self.config.polls_anew() {
            let done = (rows > 0).then(|| (rows as u64, prefix(page, rows)));
            let etag = if self.config.follow { etag() } else { None };
            return Ok((State { etag, done, ..self.state.clone() }, rows as u64));
        }
        let has_moved = number.page > 0 || self.row > 0 || has_new;
        let listing = number.listing + u64::from(has_moved);
        let since = if greatest.is_empty() { self.state.since.clone() } else { greatest };
        let mut state = State { number: PageNumber { listing, page: 0 }, since, ..State::default() };
        if self.pages.request(&state)? == *request {
            state.etag = etag();
        }
        Ok((state, 0))
    }

    /// The listing has ended: the end, or a pause.
    fn ends(&mut self) {
        self.guard.begins_anew();
        match self.config.poll_interval {
            Some(interval) => self.due = Some(Instant::now() + Duration::from(interval)),
            None => self.is_over = true,
        }
    }

    /// Waits as long as the API says.
    fn hold(&mut self, wait: Duration, status: StatusCode) {
        self.due = Some(Instant::now() + wait);
        self.is_held = true;
        let message = format!(
            "{} answers {status}, and wants to be asked again after {} s: it waits so long",
            self.pages.shown(),
            wait.as_secs()
        );
        self.warn("rate-limited", message);
    }

    /// The API answers.
    fn goes_on_asking(&mut self) {
        if std::mem::take(&mut self.is_held) {
            let notice = Notice::over("rate-limited", self.pages.shown());
            self.notices.lock().unwrap_or_else(PoisonError::into_inner).push(notice);
        }
    }

    fn warn(&self, code: &str, message: String) {
        let warned = Warned { code: code.into(), subject: self.pages.shown(), message, records: 0 };
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).push(warned.into());
    }
}
