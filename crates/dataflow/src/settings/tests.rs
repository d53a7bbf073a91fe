#![allow(clippy::unwrap_used)]
use super::*;
use std::io::Write;

fn load_text(text: &str, variables: &[(&str, &str)]) -> Result<(Settings, Vec<String>), Vec<String>> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let overrides = Overrides { config: Some(file.path().into()), ..Overrides::default() };
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    load(&overrides, None, variables).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

#[test]
fn without_anything_there_are_defaults() {
    let (settings, warnings) = load(&Overrides::default(), None, std::iter::empty()).unwrap();
    assert_eq!(settings, Settings::default());
    assert!(warnings.is_empty());
}

#[test]
fn a_file_is_read_and_the_environment_overrules_it() {
    let text = r#"
        listen = "127.0.0.1:1"
        dataDir = "/var/lib/dataflow"
        shutdownTimeout = "10s"
        [log]
        format = "json"
        [connections.kafka.default]
        brokers = "a:9092"
    "#;
    let variables = [
        ("DATAFLOW_LISTEN", "127.0.0.1:2"),
        ("DATAFLOW_COMPUTE_THREADS", "3"),
        ("DATAFLOW_CONNECTION_POSTGRES_MAIN", r#"{"url": "postgres://localhost/x"}"#),
        ("HOME", "/root"),
    ];
    let (settings, warnings) = load_text(text, &variables).unwrap();
    assert_eq!(settings.listen.port(), 2);
    assert_eq!(settings.compute_threads, Some(3));
    assert_eq!(settings.shutdown_timeout.0, 10_000);
    assert_eq!(settings.log, Log { level: "info".into(), format: LogFormat::Json });
    assert_eq!(environment::names(&settings.connections), ["kafka.default", "postgres.main"]);
    assert!(warnings.is_empty());
}

#[test]
fn all_findings_come_at_once_with_the_nearest_name() {
    let text = "listn = \"127.0.0.1:1\"\nshutdownTimeout = \"soon\"\n[log]\nformat = \"jsn\"\nlevel = \"loud\"\n";
    let problems = load_text(text, &[("DATAFLOW_LISTEN", "0.0.0.0:8080")]).unwrap_err().join("\n");
    for expected in
        ["did you mean \"listen\"", "did you mean \"json\"", "log.level", "shutdownTimeout", "authentication"]
    {
        assert!(problems.contains(expected), "{expected} is not in:\n{problems}");
    }
}

#[test]
fn what_is_no_toml_is_named_with_its_line_but_not_its_text() {
    let problems = load_text("listen = \"127.0.0.1:1\"\npassword = geheim\n", &[]).unwrap_err().join("\n");
    assert!(problems.contains("line 2") && problems.contains("password = \"…\""), "{problems}");
    assert!(!problems.contains("geheim"), "{problems}");
}

#[test]
fn a_connection_variable_that_is_no_json_does_not_show_its_text() {
    let problems = load_text("", &[("DATAFLOW_CONNECTION_KAFKA_DEFAULT", "geheim")]).unwrap_err().join("\n");
    assert!(problems.contains("DATAFLOW_CONNECTION_KAFKA_DEFAULT") && !problems.contains("geheim"), "{problems}");
}

#[test]
fn the_example_of_a_connection_is_one_of_its_kind() {
    for (variable, example) in [("POSTGRES_DEFAULT", "\"url\""), ("KAFKA_MAIN", "\"brokers\"")] {
        let problems =
            load_text("", &[(&format!("DATAFLOW_CONNECTION_{variable}"), "{url: x}")]).unwrap_err().join("\n");
        assert!(problems.contains(example), "{problems}");
    }
}

#[test]
fn a_misspelt_variable_is_warned_of_with_the_nearest() {
    for (written, meant) in [
        ("DATAFLOW_LISTN", "DATAFLOW_LISTEN?"),
        ("DATAFLOW_DATADIR", "DATAFLOW_DATA_DIR?"),
        ("DATAFLOW_CONECTION_KAFKA_MAIN", "DATAFLOW_CONNECTION_KAFKA_MAIN?"),
        ("DATAFLOW_POSTGRES_DEFAULT", "DATAFLOW_CONNECTION_POSTGRES_DEFAULT?"),
    ] {
        let (_, warnings) = load_text("", &[(written, "x")]).unwrap();
        assert!(warnings.len() == 1 && warnings[0].contains(meant), "{written}: {warnings:?}");
    }
    for known in ["DATAFLOW_SERVER", "DATAFLOW_SERVICES_HOME", "DATAFLOW_REQUIRE_SERVICES"] {
        assert!(load_text("", &[(known, "x")]).unwrap().1.is_empty(), "{known}");
    }
}

#[test]
fn what_is_no_finite_number_or_given_twice_is_refused() {
    for text in ["computeThreads = nan", "computeThreads = inf", "computeThreads = 1\ncomputeThreads = 1"] {
        assert!(load_text(text, &[]).is_err_and(|found| found[0].contains("is not TOML")), "{text}");
    }
    assert_eq!(load_text("computeThreads = 0x2", &[]).map(|(settings, _)| settings.compute_threads), Ok(Some(2)));
}
