//! A commit comes to the same as its records written one by one in plain SQL, whatever is defined on the table.
use crate::{json::write, target::*};
use proptest::{prelude::*, sample::subsequence};
use serde_json::{Map, Value};

/// What may be defined on a table `users (id int primary key, a int, b text, p int)`. Each may stand beside each.
const TRAITS: [&str; 31] = [
    "alter table users alter a set not null",
    "alter table users alter a set default 2",
    "alter table users alter b set not null",
    "alter table users add check (a <= p)",
    "alter table users add check (b is not null)",
    "create domain even as int check (value % 2 = 0); alter table users alter p type even",
    "create unique index on users (a)",
    "create unique index on users (a) where p > 1",
    "create unique index on users (lower(b))",
    "alter table users add constraint later unique (p) deferrable initially deferred",
    "alter table users add unique (b) deferrable",
    "alter table users add exclude using gist (a with =, b with =)",
    "alter table users add foreign key (p) references users (id)",
    "alter table users add foreign key (p) references users (id) deferrable initially deferred",
    "create table other (id int primary key); insert into other values (1), (3); \
     alter table users add foreign key (a) references other (id) deferrable initially deferred",
    "alter table users add unique (a); create table refers (a int references users (a) on update cascade); \
     create function refer() returns trigger language plpgsql as $$ begin \
        insert into refers values (new.a); return null; end $$; \
     create trigger refer after insert on users for each row when (new.id = 1) execute function refer()",
    "create function guard() returns trigger language plpgsql as $$ begin \
        if new.a < old.a then return null; end if; return new; end $$; \
     create trigger guard before update on users for each row execute function guard()",
    "create function refuse() returns trigger language plpgsql as $$ begin \
        if new.p < old.p then raise 'lower'; end if; return new; end $$; \
     create trigger refuse before update on users for each row execute function refuse()",
    "create function few() returns trigger language plpgsql as $$ begin \
        if (select count(*) from users where b = new.b) > 1 then raise 'many'; end if; return new; end $$; \
     create trigger few before insert on users for each row execute function few()",
    "create function few_after() returns trigger language plpgsql as $$ begin \
        if (select count(*) from users where p = new.p) > 2 then raise 'many'; end if; return new; end $$; \
     create trigger few_after after insert or update on users for each row execute function few_after()",
    "create function most() returns trigger language plpgsql as $$ begin \
        if (select sum(a) from users) > 9 then raise 'much'; end if; return null; end $$; \
     create trigger most after insert or update on users for each statement execute function most()",
    "create function kin() returns trigger language plpgsql as $$ begin \
        update users set b = 'kin' where id = new.id + 1; return new; end $$; \
     create trigger kin before insert or update of a on users for each row when (pg_trigger_depth() = 0) execute function kin()",
    "create table seen (said text); create function see() returns trigger language plpgsql as $$ begin \
        insert into seen values (new::text); return null; end $$; \
     create trigger see after insert or update on users for each row execute function see()",
    "create function known() returns boolean stable language sql as 'select count(*) < 3 from users'; \
     alter table users add check (known() or a is null)",
    "create function placed() returns bigint language sql as 'select count(*) from users'; \
     alter table users add n bigint default placed()",
    "alter table users add part int generated always as (6 / a) stored",
    "create table child (of_id int references users (id) on delete cascade); \
     create function bear() returns trigger language plpgsql as $$ begin \
        insert into child values (new.id); return null; end $$; \
     create trigger bear after insert on users for each row execute function bear()",
    "create table kept (of_id int references users (id)); \
     create function keep() returns trigger language plpgsql as $$ begin \
        insert into kept values (new.id); return null; end $$; \
     create trigger keep after insert on users for each row when (new.id < 3) execute function keep()",
    "create table other_way (of_id int references users (id) on delete set null deferrable initially deferred)",
    "create function stay() returns trigger language plpgsql as $$ begin \
        if old.p = 1 then return null; elsif old.p = 2 then raise 'stays'; end if; \
        update users set b = 'left' where id = old.id + 1; return old; end $$; \
     create trigger stay before delete on users for each row execute function stay()",
    "create table gone (said text, others bigint); create function go() returns trigger language plpgsql as $$ begin \
        insert into gone select string_agg(id::text, ','), (select count(*) from users) from old_rows; return null; end $$; \
     create trigger go after delete on users referencing old table as old_rows for each statement execute function go()",
];

/// A record: its key, and which of the other fields it has, or that it deletes the row.
fn record() -> impl Strategy<Value = Map<String, Value>> {
    let number = || prop_oneof![1 => Just(Value::Null), 6 => (0..5).prop_map(Value::from)];
    let text = prop_oneof![Just(Value::Null), "[xyXY]".prop_map(Value::from)];
    let has = prop_oneof![Just([true; 3]), any::<[bool; 3]>()];
    (1_i64..5, number(), text, number(), has, 0..4).prop_map(|(id, a, b, p, has, op)| {
        if op == 0 {
            return [("id".to_owned(), id.into()), ("_op".to_owned(), "d".into())].into_iter().collect();
        }
        let fields = [("a", a), ("b", b), ("p", p)].into_iter().zip(has).filter(|(_, has)| *has);
        let fields = fields.map(|((name, value), _)| (name.to_owned(), value));
        std::iter::once(("id".to_owned(), id.into())).chain(fields).collect()
    })
}

/// What the oracle refuses: a whole record is upserted, another one changes its row, or is a new one if there is none, or
/// deletes it.
async fn by_hand(client: &Client, records: &[Map<String, Value>]) -> Vec<usize> {
    let mut dead = Vec::new();
    for (at, record) in records.iter().enumerate() {
        let quoted = |value: &Value| value.as_str().map_or(value.to_string(), |text| format!("'{text}'"));
        let names = record.keys().cloned().collect::<Vec<_>>().join(", ");
        let values = record.values().map(quoted).collect::<Vec<_>>().join(", ");
        let set =
            record.iter().filter(|(name, _)| *name != "id").map(|(name, value)| format!("{name} = {}", quoted(value)));
        let set = set.collect::<Vec<_>>().join(", ");
        let id = &record["id"];
        let there = format!("select from users where id = {id}");
        let insert = format!("insert into users ({names}) values ({values})");
        let done = match record.len() {
            _ if record.contains_key("_op") => {
                client.batch_execute(&format!("delete from users where id = {id}")).await
            }
            4 => client.batch_execute(&format!("{insert} on conflict (id) do update set {set}")).await,
            _ if client.query_opt(&there, &[]).await.unwrap().is_none() => client.batch_execute(&insert).await,
            1 => Ok(()),
            _ => client.batch_execute(&format!("update users set {set} where id = {id}")).await,
        };
        if done.is_err() {
            dead.push(at);
        }
    }
    dead
}

/// What is in the table afterwards, and in those that triggers write to.
async fn content(target: &Target) -> Vec<Option<String>> {
    let mut content = target.texts("select users::text from users order by id").await;
    for more in ["seen", "refers", "child", "kept", "gone"] {
        if target.texts(&format!("select to_regclass('{more}')::text")).await != [None] {
            content.extend(target.texts(&format!("select {more}::text from {more} order by 1")).await);
        }
    }
    content
}

async fn comes_to_the_same(traits: &[&str], records: &[Map<String, Value>]) -> Result<(), TestCaseError> {
    let table = "create table users (id int primary key, a int, b text, p int)";
    let setup = format!("{} {table}; {}", extension_statement("btree_gist"), traits.join("; "));
    let documents: Vec<String> = records.iter().map(|record| Value::from(record.clone()).to_string()).collect();
    let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
    let mut results = Vec::new();
    for together in [0, 1, documents.len()] {
        let columns = json!({"columns": ["id", "a", "b", "p"]});
        let Some(target) = Target::new(&setup, columns).await else { return Ok(()) };
        let dead = match together {
            0 => by_hand(&target.client, records).await,
            together => write(&target, &documents, together).await.into_iter().map(|(at, _)| at).collect(),
        };
        results.push((together, dead, content(&target).await));
        target.drop().await;
    }
    for (together, dead, content) in &results[1..] {
        prop_assert_eq!((dead, content), (&results[0].1, &results[0].2), "{} together", together);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_commit_comes_to_the_same_as_its_records_one_by_one(
        traits in subsequence(TRAITS.to_vec(), 0..4),
        records in prop::collection::vec(record(), 1..14),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(comes_to_the_same(&traits, &records))?;
    }
}

/// What is there already, what comes in one commit, which of it is refused, and what is there afterwards.
#[tokio::test]
async fn rows_see_those_before_them_and_no_others() {
    let guard = "create table users (id int primary key, ver int, v text); insert into users values (1, 2, 'seed'); \
        create function guard() returns trigger language plpgsql as $$ begin \
            if new.ver < old.ver then return null; end if; return new; end $$; \
        create trigger guard before update on users for each row execute function guard()";
    let raises = guard.replace("return null", "raise 'old'");
    let guarded = [
        r#"{"id":1,"ver":3,"v":"newest"}"#,
        r#"{"id":1,"ver":1,"v":"late"}"#,
        r#"{"id":2,"ver":5,"v":"newest"}"#,
        r#"{"id":2,"ver":4,"v":"late"}"#,
    ];
    for (setup, documents, dead, rows) in [
        (guard, &guarded[..], vec![], vec!["(1,3,newest)", "(2,5,newest)"]),
        (raises.as_str(), &guarded[..], vec![1, 3], vec!["(1,3,newest)", "(2,5,newest)"]),
        (
            "create table users (id int primary key, name text not null, status text)",
            &[r#"{"id":1,"name":"a","status":"new"}"#, r#"{"id":1,"status":"paid"}"#, r#"{"id":1,"name":"b"}"#],
            vec![],
            vec!["(1,b,paid)"],
        ),
        (
            "create table users (id int primary key, parent int references users)",
            &[
                r#"{"id":5,"parent":null}"#,
                r#"{"id":2,"parent":5}"#,
                r#"{"id":1,"parent":2}"#,
                r#"{"id":2,"parent":99}"#,
                r#"{"id":9,"parent":10}"#,
                r#"{"id":10,"parent":1}"#,
            ],
            vec![3, 4],
            vec!["(1,2)", "(2,5)", "(5,)", "(10,1)"],
        ),
        (
            "create table users (id int primary key, lo int, hi int, check (lo <= hi))",
            &[r#"{"id":1,"lo":1,"hi":1}"#, r#"{"id":1,"lo":7}"#, r#"{"id":1,"hi":9}"#, r#"{"id":1,"lo":8}"#],
            vec![1],
            vec!["(1,8,9)"],
        ),
        (
            "create type mood as enum ('well'); create table users (id int primary key, v mood)",
            &[r#"{"id":1,"v":"ill"}"#, r#"{"id":1,"v":"well"}"#],
            vec![0],
            vec!["(1,well)"],
        ),
        (
            "create table users (id int primary key, v varchar(2))",
            &[r#"{"id":1,"v":"long"}"#, r#"{"id":1,"v":"ok"}"#],
            vec![0],
            vec!["(1,ok)"],
        ),
    ] {
        for together in [1, documents.len()] {
            let Some(target) = Target::new(setup, json!({})).await else { return };
            let refused = write(&target, documents, together).await;
            assert_eq!(refused.iter().map(|(at, _)| *at).collect::<Vec<_>>(), dead, "{setup}, {together}: {refused:?}");
            let expected: Vec<_> = rows.iter().map(|row| Some((*row).to_owned())).collect();
            assert_eq!(
                target.texts("select users::text from users order by id").await,
                expected,
                "{setup}, {together}"
            );
            target.drop().await;
        }
    }
}

/// A table that nothing but a key is defined on gets the last row of each key; where a row may be refused, each is written.
#[tokio::test]
async fn rows_that_are_covered_are_written_where_the_table_can_tell_alone() {
    for (more, written) in [
        ("", 1),
        (
            "alter table users alter name set not null; create index on users (id); alter table users add t timestamptz default now()",
            1,
        ),
        ("alter table users add n serial", 3),
        ("alter table users add check (name <> '')", 3),
        ("create index on users (name)", 3),
        ("alter table users alter name type varchar(9)", 1),
    ] {
        let setup = format!("create table users (id int primary key, name text); {more}");
        let Some(target) = Target::new(&setup, json!({"columns": ["id", "name"]})).await else { return };
        let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
        let outputs = [output(&demand, 0, &[(Some(1), Some("a")), (Some(1), Some("b")), (Some(1), Some("c"))])];
        let committed = writer.commit(&outputs.clone().into(), &token(&fence("p", 1), 1)).await.unwrap();
        assert_eq!(committed.rows_written, written, "{more}");
        assert_eq!(target.texts("select name::text from users").await, [Some("c".into())], "{more}");
        target.drop().await;
    }
}
