//! Tables that change while they are written.
use crate::{json::decoded, target::*};
use dataflow_core::pipeline::event::LaneProgress;
use dataflow_sdk::sink::Writer;

/// Writes documents as a run does: after a failure that passes, the sink is opened again. What was refused.
async fn go_on(
    target: &Target,
    open: &mut (Box<dyn Writer>, Demand),
    sequence: u64,
    documents: &[String],
) -> Result<Vec<String>, Error> {
    let mut refused = Vec::new();
    let mut left = documents.to_vec();
    let mut opened = 0;
    loop {
        let (output, misfits) = decoded(&open.1, &left);
        let output = output.retain(|row| !misfits.contains(&row));
        match open.0.commit(&[output.clone()].into(), &token(&fence("p", 1), sequence)).await {
            Ok(_) => {
                refused.extend(misfits.into_iter().map(|row| left[row].clone()));
                return Ok(refused);
            }
            Err(CommitError::Rejected(rows)) => {
                let rows: Vec<usize> = rows.iter().map(|row| output.rows[row.row] as usize).collect();
                refused.extend(rows.iter().map(|row| left[*row].clone()));
                left = (0..left.len()).filter(|row| !rows.contains(row)).map(|row| left[row].clone()).collect();
            }
            Err(CommitError::Failed(error @ Error::Transient { .. })) if opened < 3 => {
                eprintln!("opened again: {error}");
                opened += 1;
                let again = target.try_open(1).await?;
                *open = (again.writer, again.demand);
            }
            Err(CommitError::Failed(error)) => return Err(error),
        }
    }
}

fn documents(from: i64, to: i64) -> Vec<String> {
    (from..to).map(|id| format!("{{\"id\":{id},\"v\":{id}}}")).collect()
}

/// Whatever is done to a column between two commits: what is there afterwards is what the records say.
#[tokio::test]
async fn a_table_that_changes_under_a_writer_is_looked_at_again() {
    // What is done, what reads the values as integers, and how many records of the 100 after it are taken.
    let changes = [
        ("alter table users alter v type double precision", "v::bigint", 100),
        ("alter table users alter v type int", "v::bigint", 100),
        ("alter table users alter v type text", "null", 0),
        ("alter table users alter v type numeric", "v::bigint", 100),
        ("alter table users alter v type timestamptz using to_timestamp(v)", "null", 0),
        ("alter table users alter v type date using date '2020-01-01' + v::int", "null", 0),
        ("alter table users alter v type jsonb using to_jsonb(v)", "v::text::bigint", 100),
        ("create domain small as bigint; alter table users alter v type small", "v::bigint", 100),
        ("alter table users drop v; alter table users add v double precision", "v::bigint", 100),
        ("alter table users rename v to w; alter table users add v double precision", "v::bigint", 100),
        (
            "alter table users rename id to w; alter table users rename v to id; alter table users rename w to v",
            "v",
            100,
        ),
        ("alter table users add w int not null default 3", "v", 100),
        ("alter table users add check (v < 250)", "v", 50),
    ];
    for (change, read, taken) in changes {
        let Some(target) = Target::new("create table users (id bigint, v bigint)", json!({})).await else { return };
        let Opened { writer, demand, .. } = target.try_open(1).await.unwrap();
        let mut open = (writer, demand);
        go_on(&target, &mut open, 1, &documents(100, 200)).await.unwrap();
        target.client.batch_execute(change).await.unwrap();
        let refused = go_on(&target, &mut open, 2, &documents(200, 300)).await;
        let refused = refused.unwrap_or_else(|error| panic!("{change}: {error}"));
        assert_eq!(refused.len(), 100 - taken, "{change}");
        let wrong = format!("select concat(id, ' ', v) from users where id >= 200 and {read} is distinct from id");
        assert_eq!(target.texts(&wrong).await, [], "{change}");
        let count = target.texts("select count(*)::text from users where id >= 200").await;
        assert_eq!(count, [Some(taken.to_string())], "{change}");
        target.drop().await;
    }
}

/// The same for keys, whose rows are sent in another way.
#[tokio::test]
async fn a_key_that_changes_under_a_writer_is_looked_at_again() {
    for (change, taken) in [
        ("alter table users alter id type int", 100),
        ("alter table users alter id type double precision", 100),
        ("alter table users alter id type numeric(20,2)", 100),
        ("alter table users alter id type text", 0),
        ("alter table users alter id type char(9)", 0),
    ] {
        let setup = "create table users (id bigint primary key, v bigint)";
        let Some(target) = Target::new(setup, json!({})).await else { return };
        let Opened { writer, demand, .. } = target.try_open(1).await.unwrap();
        let mut open = (writer, demand);
        go_on(&target, &mut open, 1, &documents(100, 200)).await.unwrap();
        target.client.batch_execute(change).await.unwrap();
        let refused = go_on(&target, &mut open, 2, &documents(200, 300)).await.unwrap();
        assert_eq!(refused.len(), 100 - taken, "{change}");
        let count = target.texts("select count(*)::text from users where id::numeric = v and v >= 200").await;
        assert_eq!(count, [Some(taken.to_string())], "{change}");
        target.drop().await;
    }
}

/// Who drops the key's index is told.
#[tokio::test]
async fn an_index_that_goes_under_a_writer_is_told() {
    let setup = "create table users (id bigint, v bigint); create unique index k on users (id)";
    let Some(target) = Target::new(setup, json!({"key": "id"})).await else { return };
    let Opened { writer, demand, .. } = target.try_open(1).await.unwrap();
    let mut open = (writer, demand);
    go_on(&target, &mut open, 1, &documents(100, 200)).await.unwrap();
    target.client.batch_execute("drop index k").await.unwrap();
    let error = go_on(&target, &mut open, 2, &documents(200, 300)).await.unwrap_err();
    assert!(format!("{error:?}").contains("no-unique-index"), "{error:?}");
    target.drop().await;
}

/// A change that has begun and not ended is waited for, and then seen.
#[tokio::test]
async fn a_change_in_a_transaction_of_another_is_waited_for() {
    let Some(target) = Target::new("create table users (id bigint, v bigint)", json!({})).await else { return };
    let Opened { writer, demand, .. } = target.try_open(1).await.unwrap();
    let mut open = (writer, demand);
    let change = "begin; alter table users alter v type double precision; \
        select set_config('application_name', 'changes', false)";
    target.client.batch_execute(change).await.unwrap();
    let watcher = connect().await.unwrap();
    let rows = documents(200, 300);
    let (written, ()) = futures::join!(go_on(&target, &mut open, 1, &rows), async {
        let waits = "select exists (select from pg_locks where not granted and relation = $1::text::regclass)";
        let table = format!("{}.users", target.schema);
        // The other transaction alone sees it under its lock; the watcher asks for the lock's queue only.
        while !watcher.query_one(waits, &[&table]).await.unwrap().get::<_, bool>(0) {
            tokio::task::yield_now().await;
        }
        target.client.batch_execute("commit").await.unwrap();
    });
    assert_eq!(written.unwrap(), Vec::<String>::new());
    assert_eq!(target.texts("select count(*)::text from users where v = id").await, [Some("100".into())]);
    target.drop().await;
}

/// Rows that a trigger or a rule leaves out are told, and counted; those that are equal to what is there are not.
#[tokio::test]
async fn rows_that_the_database_swallows_are_told() {
    let swallow = "create function swallow() returns trigger language plpgsql as \
        'begin if new.id % 4 = 0 then return null; end if; return new; end'; \
        create trigger t before insert on users for each row execute function swallow()";
    let rule = "create rule r as on insert to users where new.id % 4 = 0 do instead nothing";
    for (table, more, swallowed) in [
        ("id bigint, v bigint", swallow, 25),
        ("id bigint primary key, v bigint", swallow, 25),
        ("id bigint primary key", "", 0),
        ("id bigint, v bigint", rule, 25),
        ("id bigint primary key, v bigint", "", 0),
    ] {
        for together in [10, 100] {
            let setup = format!("create table users ({table}); {more}");
            let Some(target) = Target::new(&setup, json!({})).await else { return };
            let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
            let mut told = 0;
            for (sequence, part) in (1..).zip(documents(100, 200).chunks(together)) {
                let (output, _) = decoded(&demand, part);
                writer.commit(&[output].into(), &token(&fence("p", 1), sequence)).await.unwrap();
                told += writer.warnings().iter().map(|warning| warning.records).sum::<u64>();
            }
            let count = target.texts("select count(*)::text from users").await;
            assert_eq!(count, [Some((100 - swallowed).to_string())], "{table} {more}");
            assert_eq!(told, swallowed, "{table} {more}");
            target.drop().await;
        }
    }
}

/// What does not live as long as its token is refused.
#[tokio::test]
async fn a_table_that_a_crash_empties_is_refused() {
    for (setup, subject) in [
        ("create unlogged table users (id int, name text)", "users"),
        (
            "create table users (id int, name text) partition by list (id); create unlogged table one partition of users default",
            "one",
        ),
        ("create unlogged table one (id int, name text); create view users as select * from one", "one"),
    ] {
        let Some(target) = Target::new(setup, json!({})).await else { return };
        let error = target.try_open(1).await.unwrap_err();
        let said = format!("{error:?}");
        assert!(
            said.contains("not-durable")
                && said.contains(&format!("alter table {}.{subject} set logged", target.schema)),
            "{said}"
        );
        target.client.batch_execute(&format!("alter table {subject} set logged")).await.unwrap();
        target.try_open(1).await.unwrap();
        target.client.batch_execute("alter table dataflow_tokens set unlogged").await.unwrap();
        let error = target.try_open(2).await.unwrap_err();
        assert!(format!("{error:?}").contains("not-durable"), "{error:?}");
        target.drop().await;
    }
}

/// Pairs of keys that only the database takes for equal, however many of them.
#[tokio::test]
async fn hundreds_of_pairs_of_equal_keys_end() {
    let setup = "create table users (id inet primary key, v bigint)";
    let Some(target) = Target::new(setup, json!({})).await else { return };
    let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
    let pair = |id: i64| {
        let address = format!("10.0.{}.{}", id / 100, id % 100);
        [format!("{{\"id\":\"{address}\",\"v\":{id}}}"), format!("{{\"id\":\"{address}/32\",\"v\":{}}}", -id)]
    };
    let rows: Vec<String> = (100..600).flat_map(pair).collect();
    let (output, _) = decoded(&demand, &rows);
    writer.commit(&[output].into(), &token(&fence("p", 1), 1)).await.unwrap();
    assert_eq!(
        target.texts("select concat(count(*), ' ', count(*) filter (where v < 0)) from users").await,
        [Some("500 500".into())]
    );
    target.drop().await;
}

/// What leaves the demand as it is does not interrupt a writer; nor does a column that another lane adds.
#[tokio::test]
async fn a_change_that_leaves_the_demand_as_it_is_interrupts_nothing() {
    for (more, change, goes_on) in [
        (json!({}), "create index on users (v)", true),
        (json!({}), "alter table users alter v set default 7", true),
        (json!({}), "alter table users alter v set not null", true),
        (json!({}), "alter table users add check (v > 0)", true),
        (json!({}), "alter table users add w int", false),
        (json!({"unknownFields": "add"}), "alter table users add w int", true),
        (json!({"columns": ["id", "v"]}), "alter table users add w int", true),
        (json!({"columns": ["id", "v"], "unknownFields": "add"}), "alter table users add w int", true),
        (json!({"unknownFields": "add"}), "alter table users drop v", false),
        (json!({"unknownFields": "add"}), "alter table users alter v type text", false),
        (json!({}), "alter table users set unlogged", false),
    ] {
        let Some(target) = Target::new("create table users (id bigint, v bigint)", more).await else { return };
        let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
        for sequence in [1, 2, 3] {
            let (output, _) = decoded(&demand, &documents(100, 200));
            let done = writer.commit(&[output].into(), &token(&fence("p", 1), sequence)).await;
            match sequence == 1 || goes_on {
                true => assert_eq!(done.unwrap().rows_written, 100, "{change}"),
                false => assert!(format!("{done:?}").contains("table-changed"), "{change}: {done:?}"),
            }
            if sequence == 1 {
                target.client.batch_execute(change).await.unwrap();
            }
        }
        let expected = if goes_on { 300 } else { 100 };
        assert_eq!(target.texts("select count(*)::text from users").await, [Some(expected.to_string())], "{change}");
        target.drop().await;
    }
}

/// Eight lanes that each add columns of their own all the time lose no value, and none is interrupted.
#[tokio::test]
async fn lanes_that_add_columns_do_not_interrupt_each_other() {
    let more = json!({"unknownFields": "add"});
    let Some(target) = Target::new("create table users (id bigint)", more).await else { return };
    let lane = |lane: u32| {
        let sink = target.sink();
        async move {
            let fence = dataflow_core::token::Fence { lane, ..fence("p", 1) };
            let Opened { mut writer, mut demand, .. } = sink.open(&context("p"), open_lane(&fence)).await.unwrap();
            for sequence in 1..=5 {
                let name = format!("c{lane}_{sequence}");
                demand = writer.define(&[Column { name: name.clone(), ty: Type::Bigint }]).await.unwrap();
                let row = format!("{{\"id\":{lane},\"{name}\":{sequence}}}");
                let (output, _) = decoded(&demand, &[row]);
                writer.commit(&[output].into(), &token(&fence, sequence)).await.unwrap();
            }
            drop(demand);
        }
    };
    futures::join!(lane(0), lane(1), lane(2), lane(3), lane(4), lane(5), lane(6), lane(7));
    for lane in 0..8 {
        let sums = (1..=5).map(|sequence| format!("sum(c{lane}_{sequence})"));
        let sums = format!("select concat_ws(' ', {}) from users", sums.collect::<Vec<_>>().join(", "));
        assert_eq!(target.texts(&sums).await, [Some("1 2 3 4 5".into())]);
    }
    target.drop().await;
}

/// Rows that are refused before anything is sent, or that never get to the sink, are refused by the table as it is.
#[tokio::test]
async fn a_table_that_changes_while_every_row_is_refused_is_looked_at_again() {
    for (declared, value, change, taken) in [
        ("varchar(3)", r#""abcdef""#, "alter table users alter v type varchar(50)", true),
        ("integer", r#""abcdef""#, "alter table users alter v type text", true),
        ("varchar(3) not null", "null", "alter table users alter v drop not null", true),
        ("varchar(3)", r#""abcdef""#, "drop table users; create table users (id bigint, v text)", true),
        ("integer", r#""abcdef""#, "drop table users; create table users (id bigint, v text)", true),
        ("varchar(3)", r#""abcdef""#, "alter table users add w int", false),
    ] {
        let setup = format!("create table users (id bigint, v {declared})");
        let Some(target) = Target::new(&setup, json!({})).await else { return };
        let Opened { writer, demand, .. } = target.try_open(1).await.unwrap();
        let mut open = (writer, demand);
        let rows: Vec<String> = (100..200).map(|id| format!("{{\"id\":{id},\"v\":{value}}}")).collect();
        assert_eq!(go_on(&target, &mut open, 1, &rows).await.unwrap().len(), 100, "{declared}");
        target.client.batch_execute(change).await.unwrap();
        let refused = go_on(&target, &mut open, 2, &rows).await.unwrap();
        assert_eq!(refused.len(), if taken { 0 } else { 100 }, "{declared}: {change}");
        let count = target.texts("select count(*)::text from users").await;
        assert_eq!(count, [Some((100 - refused.len()).to_string())], "{declared}: {change}");
        target.drop().await;
    }
    for (declared, value) in [("varchar(3)", r#""abcdef""#), ("integer", r#""abcdef""#)] {
        let setup = format!("create table users (id bigint, v {declared})");
        let Some(target) = Target::new(&setup, json!({})).await else { return };
        let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
        target.client.batch_execute("drop table users").await.unwrap();
        let (output, misfits) = decoded(&demand, &[format!("{{\"id\":1,\"v\":{value}}}")]);
        let output = output.retain(|row| !misfits.contains(&row));
        let done = writer.commit(&[output].into(), &token(&fence("p", 1), 1)).await;
        assert!(format!("{done:?}").contains("table-changed"), "{declared}: {done:?}");
        target.drop().await;
    }
}

/// Opens the sink as a run does that has journalled what the sink remembers.
async fn open_again(target: &Target, handle: Option<serde_json::Value>) -> Result<(Box<dyn Writer>, Demand), Error> {
    let fence = fence("p", 1);
    let (positions, counters) = Default::default();
    let journalled = LaneProgress {
        lane: 0,
        sequence: 1,
        positions,
        counters,
        chunks: Vec::new(),
        warnings: Default::default(),
        handle,
    };
    let lane = dataflow_sdk::sink::OpenLane { journalled: Some(journalled), ..open_lane(&fence) };
    let Opened { mut writer, mut demand, .. } = target.sink().open(&context("p"), lane).await?;
    if demand == Demand::AllColumns {
        let column = |name: &str| Column { name: name.into(), ty: Type::Bigint };
        demand = writer.define(&[column("id"), column("v")]).await?;
    }
    Ok((writer, demand))
}

/// What a pipeline has replaced by key it does not append because the key's index, or the table, is gone; nor the other way round.
#[tokio::test]
async fn neither_an_upsert_nor_an_append_becomes_the_other() {
    let keyed = "create table users (id bigint primary key, v bigint)";
    let keyless = "create table users (id bigint, v bigint)";
    for (setup, change) in [
        (keyed, "alter table users drop constraint users_pkey".to_owned()),
        (keyed, format!("alter table users rename to before; {keyless}")),
        (keyed, "alter table users rename to before".into()),
        (keyed, "alter table users drop constraint users_pkey, add primary key (v)".into()),
        (keyless, "alter table users add primary key (id)".into()),
    ] {
        for stopped in [false, true] {
            let Some(target) = Target::new(setup, json!({})).await else { return };
            let Opened { writer, demand, handle, .. } = target.try_open(1).await.unwrap();
            let mut open = (writer, demand);
            go_on(&target, &mut open, 1, &documents(100, 200)).await.unwrap();
            target.client.batch_execute(&change).await.unwrap();
            let mut done = Err(CommitError::Failed(Error::transient("stopped", "it was")));
            for attempt in 0..3 {
                if attempt > 0 || stopped {
                    open = match open_again(&target, handle.clone()).await {
                        Ok(open) => open,
                        Err(error) => {
                            done = Err(error.into());
                            break;
                        }
                    };
                }
                let (output, _) = decoded(&open.1, &documents(100, 200));
                done = open.0.commit(&[output].into(), &token(&fence("p", 1), 2)).await;
                if !matches!(done, Err(CommitError::Failed(Error::Transient { .. }))) {
                    break;
                }
            }
            let said = format!("{change}, stopped: {stopped}: {done:?}");
            match &done {
                Ok(_) => assert!(setup == keyed && !change.contains("create"), "{said}"),
                Err(CommitError::Rejected(rows)) => assert!(setup == keyless && rows.len() == 100, "{said}"),
                Err(CommitError::Failed(_)) => {
                    assert!(
                        ["no-unique-index", "table-missing", "table-replaced"].iter().any(|code| said.contains(code)),
                        "{said}"
                    )
                }
            }
            let twice = "select count(*)::text from (select id from users group by id having count(*) > 1) twice";
            if target.texts("select to_regclass('users')::text").await != [None] {
                assert_eq!(target.texts(twice).await, [Some("0".into())], "{said}");
            }
            target.drop().await;
        }
    }
}

/// What does not outlive a crash of the server is refused under a run as at its start: the table, a partition, what a view
/// is over, and the progress.
#[tokio::test]
async fn what_is_no_longer_durable_is_noticed_under_a_run() {
    let table = "create table users (id bigint, v bigint)";
    let parts = "create table users (id bigint, v bigint) partition by range (id); \
        create table users_0 partition of users for values from (0) to (150); create table users_1 partition of users default";
    let view = "create table other (id bigint, v bigint); create view users as select * from other";
    for (setup, unlogged) in
        [(table, "users"), (parts, "users_1"), (view, "other"), (table, "dataflow_tokens"), (view, "dataflow_tokens")]
    {
        let Some(target) = Target::new(setup, json!({})).await else { return };
        let Opened { writer, demand, .. } = target.try_open(1).await.unwrap();
        let mut open = (writer, demand);
        go_on(&target, &mut open, 1, &documents(100, 200)).await.unwrap();
        target.client.batch_execute(&format!("alter table {unlogged} set unlogged")).await.unwrap();
        let done = go_on(&target, &mut open, 2, &documents(200, 300)).await;
        assert_eq!(done.map_err(|error| error.code()), Err("not-durable"), "{unlogged}");
        assert_eq!(target.texts("select count(*)::text from users").await, [Some("100".into())], "{unlogged}");
        target.client.batch_execute(&format!("alter table {unlogged} set logged")).await.unwrap();
        let again = target.try_open(1).await.unwrap();
        go_on(&target, &mut (again.writer, again.demand), 2, &documents(200, 300)).await.unwrap();
        target.drop().await;
    }
}

/// A table that somebody has made anew lacks the rows that were written, whether that was done under a run or between two.
#[tokio::test]
async fn a_table_that_was_made_anew_is_another_one() {
    const TABLE: &str = "create table users (id bigint, v bigint)";
    let other = format!("{TABLE}; create table other (id bigint, v bigint)");
    let view = format!(
        "{}; create table third (id bigint, v bigint); create view users as select * from other",
        &other[TABLE.len() + 2..]
    );
    // Whether it still is the same.
    let cases = [
        (TABLE, format!("drop table users; {TABLE}"), false),
        (TABLE, format!("alter table users rename to before; {TABLE}"), false),
        (TABLE, "alter table users rename to before; create table users as select * from before".into(), false),
        (&other, "drop table users; create view users as select * from other".into(), false),
        (&view, "drop view users; create view users as select * from third".into(), false),
        (&view, "drop view users; create view users as select * from other".into(), true),
        (TABLE, "truncate users; alter table users add w int default 1".into(), true),
        (TABLE, "alter table users rename to before; create view users as select * from before".into(), true),
        // The whole schema was restored: its tokens tell what is there.
        (
            TABLE,
            format!(
                "alter table users rename to before; {TABLE}; insert into users select * from before; \
                create table again (like dataflow_tokens including all); insert into again select * from dataflow_tokens; \
                drop table dataflow_tokens; alter table again rename to dataflow_tokens"
            ),
            true,
        ),
    ];
    for (setup, change, same) in &cases {
        for (stopped, written) in [(false, true), (true, true), (false, false)] {
            let columns = json!({"columns": ["id", "v"]});
            let Some(target) = Target::new(setup, columns).await else { return };
            let Opened { writer, demand, .. } = target.try_open(1).await.unwrap();
            let mut open = (writer, demand);
            let rows = if written { documents(100, 200) } else { Vec::new() };
            go_on(&target, &mut open, 1, &rows).await.unwrap();
            target.client.batch_execute(change).await.unwrap();
            let case = format!("{change}, stopped: {stopped}, written: {written}");
            let mut reopened = Ok(());
            if stopped {
                reopened = target.try_open(1).await.map(|again| open = (again.writer, again.demand));
            }
            let done = match reopened {
                Ok(()) => go_on(&target, &mut open, 2, &documents(200, 300)).await.map(|_| ()),
                Err(error) => Err(error),
            };
            match same | !written {
                true => done.unwrap_or_else(|error| panic!("{case}: {error}")),
                false => {
                    let error = done.expect_err(&case);
                    assert!(matches!(error, Error::Contradicts { code: "table-replaced", .. }), "{case}: {error:?}");
                    let more = target.texts("select count(*)::text from users where id >= 200").await;
                    assert_eq!(more, [Some("0".into())], "{case}");
                }
            }
            target.drop().await;
        }
    }
}

/// Tokens of an earlier build do not say which table the rows went to: that is learnt from here on.
#[tokio::test]
async fn tokens_without_a_relation_learn_it() {
    let Some(target) = Target::new("create table users (id bigint, v bigint)", json!({})).await else { return };
    for sequence in [1, 2] {
        let Opened { writer, demand, .. } = target.try_open(sequence).await.unwrap();
        let mut open = (writer, demand);
        let (output, _) = decoded(&open.1, &documents(100, 200));
        open.0.commit(&[output].into(), &token(&fence("p", sequence), sequence)).await.unwrap();
        let known = "select (relation = concat('dataflow_tokens'::regclass::oid, ':', 'users'::regclass::oid))::text from dataflow_tokens";
        assert_eq!(target.texts(known).await, [Some("true".into())]);
        target.client.batch_execute("alter table dataflow_tokens drop column relation").await.unwrap();
    }
    target.drop().await;
}

/// What may drop rows that a commit counts is named when the table is opened; what only notes them down is not.
#[tokio::test]
async fn what_may_drop_rows_is_named_at_the_start() {
    let trigger = |when: &str, body: &str| {
        format!(
            "create function f() returns trigger language plpgsql as $$ begin {body} end $$; \
             create trigger guard {when} on users for each row execute function f()"
        )
    };
    let audit = "if tg_op = 'DELETE' or tg_op = 'UPDATE' then return old; end if; insert into other values (new.id, new.v); return new;";
    let cases = [
        (trigger("after insert", "delete from users where id = new.id; return null;"), true),
        (trigger("after insert", "DELETE  FROM only\n public.\"users\" where false; return null;"), true),
        (trigger("before insert", "truncate table users; return new;"), true),
        (trigger("after insert", "execute 'delete from ' || tg_table_name; return null;"), true),
        (trigger("after insert or update or delete", audit), false),
        (trigger("after insert", "delete from other where id = new.id; delete from users_old; return null;"), false),
        (trigger("before insert", "new.v := 1; return new;"), false),
        (trigger("after delete", "delete from users; return null;"), false),
        ("create rule guard as on insert to users where new.v = 1 do instead nothing".into(), true),
        ("create rule guard as on insert to users do instead insert into other values (new.*)".into(), true),
        ("create rule guard as on insert to users do also delete from users".into(), true),
        ("create rule guard as on insert to users do also insert into other values (new.*)".into(), false),
        ("create rule guard as on delete to users do instead nothing".into(), false),
        ("alter table users rename to before; create view users as select * from before".into(), false),
    ];
    for (case, told) in cases {
        is_told("", &case, told).await;
    }
    // With a key rows may be deleted.
    let key = "alter table users add primary key (id);";
    is_told(key, &trigger("after delete", "delete from users; return null;"), true).await;
    is_told(key, "create rule guard as on delete to users do instead nothing", true).await;
    is_told(key, &trigger("after delete", "delete from other; return null;"), false).await;
}

async fn is_told(key: &str, case: &str, told: bool) {
    let setup =
        format!("create table users (id bigint, v bigint); {key} create table other (id bigint, v bigint); {case}");
    let Some(target) = Target::new(&setup, json!({})).await else { return };
    // Upserts into a table with rules are refused by the server, but not when it is opened.
    let warnings = target.try_open(1).await.unwrap().warnings;
    let told_of: Vec<_> = warnings.iter().filter(|warning| warning.code == "may-drop-rows").collect();
    assert_eq!(told_of.len(), usize::from(told), "{case}: {warnings:?}");
    assert!(told_of.iter().all(|warning| warning.message.contains("guard")), "{case}: {warnings:?}");
    target.drop().await;
}

/// Progress that a trigger or a rule keeps from being stored is not taken for that of a newer writer.
#[tokio::test]
async fn what_keeps_progress_from_being_stored_is_named() {
    let trigger = |body: &str, when: &str| {
        format!(
            "create function f() returns trigger language plpgsql as $$ begin {body} end $$; \
             create trigger guard before {when} on dataflow_tokens for each row execute function f()"
        )
    };
    for (guard, opened) in [
        (trigger("return null;", "insert or update"), false),
        (trigger("return null;", "update"), true),
        (trigger("new.sequence := old.sequence; return new;", "update"), true),
        (trigger("return null;", "update of counters"), true),
        ("create rule guard as on update to dataflow_tokens do instead nothing".into(), true),
    ] {
        let Some(target) = Target::new("create table users (id bigint, v bigint)", json!({})).await else { return };
        let Opened { writer, demand, .. } = target.try_open(1).await.unwrap();
        let mut open = (writer, demand);
        go_on(&target, &mut open, 1, &documents(100, 200)).await.unwrap();
        target.client.batch_execute(&guard).await.unwrap();
        let error = go_on(&target, &mut open, 2, &documents(200, 300)).await.unwrap_err();
        let named = |error: &Error| matches!(error, Error::Fatal { code: "progress-not-kept", message, .. } if message.contains("guard"));
        assert!(named(&error), "{guard}: {error:?}");
        assert_eq!(target.texts("select count(*)::text from users").await, [Some("100".into())], "{guard}");
        let again = target.try_open(2).await;
        assert!(
            if opened { again.is_ok() || again.as_ref().is_err_and(named) } else { again.as_ref().is_err_and(named) },
            "{guard}: {again:?}"
        );
        target.drop().await;
    }
}

/// A verification says why what is there may not outlive a crash.
#[tokio::test]
async fn an_audit_says_what_is_not_durable() {
    let parts = "create table users (id bigint, v bigint) partition by range (id); create table users_1 partition of users default";
    let table = "create table users (id bigint, v bigint)";
    for (setup, change, url, said) in [
        (table, "select 1", "", None),
        (table, "alter table users set unlogged", "", Some("users is unlogged")),
        (parts, "alter table users_1 set unlogged", "", Some("users_1 is unlogged")),
        (table, "alter table dataflow_tokens set unlogged", "", Some("dataflow_tokens is unlogged")),
        (table, "select 1", "%20-csynchronous_commit%3Doff", Some("synchronous_commit is off")),
    ] {
        let Some(mut target) = Target::new(setup, json!({})).await else { return };
        target.more = json!({"url": format!("{}{url}", target.url())});
        target.try_open(1).await.unwrap();
        target.client.batch_execute(change).await.unwrap();
        let audited = target.sink().audit(&context("p"), Default::default()).await.unwrap().unwrap();
        assert_eq!(audited.not_durable.len(), usize::from(said.is_some()), "{change}: {:?}", audited.not_durable);
        assert!(said.is_none_or(|said| audited.not_durable[0].contains(said)), "{change}: {:?}", audited.not_durable);
        drop(audited);
        target.drop().await;
    }
}

/// A schema that is missing is one to create.
#[tokio::test]
async fn a_missing_schema_is_to_be_created() {
    let Some(target) = Target::new("select 1", json!({})).await else { return };
    let missing = format!("{}_none", target.schema);
    let target = Target { more: json!({"table": format!("{missing}.users")}), ..target };
    let error = format!("{:?}", target.try_open(1).await.unwrap_err());
    assert!(error.contains("schema-missing") && error.contains(&format!("create schema \\\"{missing}\\\"")), "{error}");
    target.drop().await;
}
