//! Which rows are one for the database.
use crate::target::*;

#[tokio::test]
async fn keys_that_only_the_database_takes_for_equal_are_no_failure() {
    let setup = "create collation ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
        create table users (id int, name text collate ci primary key)";
    let Some(client) = connect().await else { return };
    let icu: i64 =
        client.query_one("select count(*) from pg_collation where collprovider = 'i'", &[]).await.unwrap().get(0);
    if icu == 0 {
        return;
    }
    let target = Target::new(setup, json!({})).await.unwrap();
    let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
    let rows = [(Some(1), Some("ann")), (Some(2), Some("ANN")), (Some(3), Some("bob"))];
    writer.commit(&[output(&demand, 0, &rows)], &token(&fence("p", 1), 1)).await.unwrap();
    assert_eq!(target.rows().await.len(), 2);
    target.drop().await;
}
