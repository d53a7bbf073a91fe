//! Where neither content nor times can tell what a file is, that is said.
use super::{
    once::{ALL, Reading},
    rotations::look,
    *,
};
use crate::file::follow::Follow;

/// A log of one line again and again, which was copied, truncated and written beyond that, or only copied and written on.
#[tokio::test]
async fn a_copy_that_may_be_an_older_generation_is_named() {
    let named = [("{}", false, 5, true), ("{}", true, 5, true), ("", false, 5, false), ("", true, 8, false)];
    for ((line, truncated, expected, named), pattern) in
        named.into_iter().flat_map(|of| [(of, "app.log*"), (of, "app.log")])
    {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let text = |ids: std::ops::Range<u32>| -> String {
            ids.map(|id| if line.is_empty() { format!("{id}\n") } else { format!("{line}\n") }).collect()
        };
        append(&path("app.log"), &text(0..3));
        let source = source(&path(pattern), json!({"follow": true, "pollInterval": "5ms", "format": "json"}));
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
        let what = format!("{pattern}, {line:?}, truncated: {truncated}");
        assert_eq!((reading.texts.len(), reading.lost), (expected, 0), "{what}");
        let codes: Vec<_> = reading.warnings.iter().map(|warning| warning.key().0).collect();
        assert_eq!(codes, if named { &["ambiguous-copy"][..] } else { &[] }, "{what}");
    }
}

/// A copy that holds more than the file of today tells that this was truncated, also where all lines are the same.
#[tokio::test]
async fn a_copy_longer_than_the_file_is_an_older_generation() {
    for pattern in ["app.log*", "app.log"] {
        for running in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let path = |name: &str| dir.path().join(name);
            let more = json!({"follow": true, "pollInterval": "5ms", "format": "json"});
            let source = source(&path(pattern), more);
            append(&path("app.log"), &"{}\n".repeat(100));
            let mut reading = Reading::default();
            let rotate = || {
                append(&path("app.log"), &"{}\n".repeat(50));
                fs::copy(path("app.log"), path("app.log.1")).unwrap();
                std::thread::sleep(Duration::from_millis(20)); // more than a file system's clock ticks
                fs::write(path("app.log"), "{}\n".repeat(120)).unwrap();
            };
            if running {
                let mut work = Follow::new(source.clone(), &context(), Positions::new()).unwrap();
                let mut read = look(&mut work).len();
                rotate();
                for _ in 0..12 {
                    std::thread::sleep(Duration::from_millis(5));
                    read += look(&mut work).len();
                }
                assert_eq!(read, 270, "{pattern}, running");
                continue;
            }
            reading.on(&source, ALL).await.unwrap();
            rotate();
            reading.on(&source, ALL).await.unwrap();
            assert_eq!((reading.texts.len(), reading.lost, reading.warnings.len()), (270, 0, 0), "{pattern}");
        }
    }
}
