//! Work that blocks, off the threads that serve everything else.
use dataflow_sdk::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Runs `work` on a thread where it may block.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        Error::fatal("internal", format!("a task of the sink ended early: {error}")).fix("report this bug")
    })
}

/// Runs `work` on a thread where it may block, and does not wait for it.
pub(crate) fn aside(work: impl FnOnce() + Send + 'static) {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(work)),
        Err(_) => work(),
    }
}

/// What a writer owns that blocks: used, and let go of, on threads where it may.
pub(crate) struct Owned<T: Send + 'static> {
    /// None once it is let go of.
    value: Option<Arc<Mutex<T>>>,
    /// Gone when the owner is. Work that is then still on its thread may not begin a commit any more: whoever opened the
    /// target since has seen what there is.
    alive: Arc<()>,
}

/// Whether the owner still is there.
pub(crate) struct Alive(Weak<()>);

impl Alive {
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.0.strong_count() {
            0 => Err(Error::transient("dropped", "the writer was dropped before it got to the target")),
            _ => Ok(()),
        }
    }
}

impl<T: Send + 'static> Owned<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: Some(Arc::new(Mutex::new(value))), alive: Arc::default() }
    }

    /// Runs `work` on a thread where it may block; it can tell whether the owner was dropped meanwhile.
    pub(crate) async fn with<R: Send + 'static, E: From<Error> + Send + 'static>(
        &self,
        work: impl FnOnce(&mut T, &Alive) -> Result<R, E> + Send + 'static,
    ) -> Result<R, E> {
        let Some(value) = self.value.clone() else {
            return Err(Error::fatal("internal", "the sink was closed").into());
        };
        let alive = Alive(Arc::downgrade(&self.alive));
        run(move || work(&mut lock(&value), &alive)).await?
    }

    /// Asked between calls of `with`, when no thread is at work.
    pub(crate) fn get(&self) -> Option<MutexGuard<'_, T>> {
        self.value.as_deref().map(lock)
    }

    /// Lets go of it, and waits for that.
    pub(crate) async fn close(mut self) -> Result<(), Error> {
        let value = self.value.take();
        run(move || drop(value)).await
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Send + 'static> Drop for Owned<T> {
    fn drop(&mut self) {
        if let Some(value) = self.value.take() {
            aside(move || drop(value));
        }
    }
}
