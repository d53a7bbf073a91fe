//! What is taken back of what was said of files that are followed.
use super::{once::lines, *};

/// In the run that was told so, or in a later one.
#[tokio::test]
async fn that_a_file_is_missing_is_taken_back_once_it_is_there() {
    for again in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        let source = source(&path, json!({"follow": true, "pollInterval": "10ms"}));
        let mut reader = open(&source, &Positions::new()).await.unwrap();
        let Read::Records(found) = reader.read().await.unwrap() else { panic!("nothing is said of it") };
        let warnings = reader.warnings();
        assert_eq!(warnings.iter().map(|warning| warning.key().0).collect::<Vec<_>>(), ["file-missing"]);
        fs::write(&path, lines("a", 0..1)).unwrap();
        if again {
            reader = open(&source, &[(found.partition.clone(), found.to.clone())].into()).await.unwrap();
        }
        assert_eq!(texts(&some(&mut *reader, 1).await), ["\"a0\""]);
        let taken_back = dataflow_sdk::batch::Notice::over("file-missing", warnings[0].key().1);
        assert_eq!(reader.warnings(), [taken_back], "again: {again}");
    }
}
