//! Files that a pattern matches in several folders, and links that lead in a circle.
use super::{
    once::{ALL, Reading, lines},
    *,
};
use std::os::unix::fs::symlink;

fn pack(name: &str, text: &str) -> Vec<u8> {
    match Path::new(name).extension().and_then(|ext| ext.to_str()) {
        Some("gz") => gzip(text.as_bytes()),
        Some("zst") => zstd(text.as_bytes()),
        _ => text.into(),
    }
}

/// Rotation and compression stay in a folder: what is equal in another one is another host's.
#[tokio::test]
async fn equal_files_in_different_folders_are_different_files() {
    let text = lines("a", 0..2);
    for follow in [false, true] {
        for other in ["app.log", "app.log.1", "app.log.gz", "app.log.1.gz", "app.log.1.zst", "app.log-20261231"] {
            for (one, another) in [("a", "b"), ("b", "a")] {
                // Whether the other one comes later, and whether the first is gone by then.
                for (later, gone, steps) in [
                    (false, false, [ALL, ALL]),
                    (false, false, [1, ALL]),
                    (true, false, [ALL, ALL]),
                    (true, true, [ALL, ALL]),
                ] {
                    let what = format!("{one}/app.log, {another}/{other}, {follow}, {later}, {gone}, {steps:?}");
                    let dir = tempfile::tempdir().unwrap();
                    let path = |folder: &str, name: &str| dir.path().join(folder).join(name);
                    ["a", "b"].iter().for_each(|folder| fs::create_dir(dir.path().join(folder)).unwrap());
                    fs::write(path(one, "app.log"), &text).unwrap();
                    let write = || fs::write(path(another, other), pack(other, &text)).unwrap();
                    if !later {
                        write();
                    }
                    let source = source(
                        &path("*", "app.log*"),
                        json!({"follow": follow, "pollInterval": "5ms", "format": "json"}),
                    );
                    let mut reading = Reading::default();
                    reading.on(&source, steps[0]).await.unwrap();
                    if later {
                        write();
                    }
                    if gone {
                        fs::remove_file(path(one, "app.log")).unwrap();
                    }
                    reading.on(&source, steps[1]).await.unwrap();
                    assert_eq!((reading.texts.len(), reading.lost), (4, 0), "{what}");
                    assert!(reading.warnings.iter().all(|warning| warning.key().0 != "compressed-copy"), "{what}");
                }
            }
        }
    }
}

/// What leads nowhere is named, and the rest is read.
#[tokio::test]
async fn a_link_that_leads_in_a_circle_is_named_and_the_rest_is_read() {
    for follow in [false, true] {
        for (link, to, pattern) in [
            ("x/app.log.1", "app.log.1", "x/app.log*"),
            ("x/app.log.1", "app.log.2", "x/app.log*"),
            ("x/app.log", "app.log", "*/app.*"),
            ("loop", "loop", "*/app.log*"),
            ("loop", "loop", "**/app.log*"),
        ] {
            let what = format!("{link}, {pattern}, follow: {follow}");
            let dir = tempfile::tempdir().unwrap();
            let path = |name: &str| dir.path().join(name);
            fs::create_dir(path("x")).unwrap();
            fs::write(path("x/app.log.7"), lines("a", 0..2)).unwrap();
            symlink(to, path(link)).unwrap();
            if to == "app.log.2" {
                symlink("app.log.1", path("x/app.log.2")).unwrap();
            }
            let source = source(&path(pattern), json!({"follow": follow, "pollInterval": "5ms", "format": "json"}));
            let mut reading = Reading::default();
            reading.on(&source, ALL).await.unwrap();
            assert_eq!(reading.texts.len(), 2, "{what}");
            let warned = reading.warnings.iter().filter_map(Notice::holding);
            let named = warned.filter(|it| it.code == "link-circle" && it.message.contains(link)).count();
            // `**` follows no links.
            assert_eq!(named, usize::from(!pattern.starts_with("**")), "{what}: {:?}", reading.warnings);
            // Once it leads somewhere, that is read.
            fs::remove_file(path(link)).unwrap();
            let there = if link == "loop" { path("y") } else { path(link) };
            if link == "loop" {
                fs::create_dir(&there).unwrap();
            }
            fs::write(if link == "loop" { there.join("app.log") } else { there }, lines("b", 0..1)).unwrap();
            reading.on(&source, ALL).await.unwrap();
            assert_eq!(reading.texts.len(), 3, "{what}");
        }
        let dir = tempfile::tempdir().unwrap();
        symlink("app.log", dir.path().join("app.log")).unwrap();
        let source = source(&dir.path().join("app.log"), json!({"follow": follow}));
        let error = Reading::default().on(&source, ALL).await.unwrap_err();
        assert!(error.to_string().contains("app.log is a link to nothing"), "{error}");
    }
}
