//! Where neither content nor times can tell what a file is, that is said.
use super::{
    once::{ALL, Reading},
    *,
};

/// A log of one line again and again, which was copied, truncated and written beyond that, or only copied and written on.
#[tokio::test]
async fn a_copy_that_may_be_an_older_generation_is_named() {
    for (line, truncated, expected, named) in
        [("{}", false, 5, true), ("{}", true, 5, true), ("", false, 5, false), ("", true, 8, false)]
    {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let text = |ids: std::ops::Range<u32>| -> String {
            ids.map(|id| if line.is_empty() { format!("{id}\n") } else { format!("{line}\n") }).collect()
        };
        append(&path("app.log"), &text(0..3));
        let source = source(&path("app.log*"), json!({"follow": true, "pollInterval": "5ms", "format": "json"}));
        let mut reading = Reading::default();
        reading.on(&source, ALL).await.unwrap();
        fs::copy(path("app.log"), path("app.log.1")).unwrap();
        std::thread::sleep(Duration::from_millis(20)); // more than a file system's clock ticks
        if truncated {
            fs::write(path("app.log"), text(3..8)).unwrap();
        } else {
            append(&path("app.log"), &text(3..5));
        }
        for _ in 0..2 {
            reading.on(&source, ALL).await.unwrap();
        }
        let what = format!("{line:?}, truncated: {truncated}");
        assert_eq!((reading.texts.len(), reading.lost), (expected, 0), "{what}");
        let codes: Vec<_> = reading.warnings.iter().map(|warning| warning.code).collect();
        assert_eq!(codes, if named { &["ambiguous-copy"][..] } else { &[] }, "{what}");
    }
}
