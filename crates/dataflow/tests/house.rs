//! The rules of the house that `cargo metadata` can tell: which crate may know which, and what dependencies may be.
#![allow(clippy::unwrap_used)]
mod grouped;

use dataflow::{
    node::Node,
    plugins::{Connectors, catalog, check_new, compiler},
    settings::Settings,
};
use dataflow_core::id::{Actor, CommandId};
use dataflow_engine::{
    client::PipelineClient,
    parts::{Parts, Random, SystemClock, TcpNet, TokioSpawner},
    region::{Action, UserCommand},
};
use dataflow_journal::{Journal, memory::Memory};
use dataflow_sdk::catalog::Connections;
use dataflow_testkit::parts::Inline;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn metadata() -> Value {
    let host = Command::new("rustc").arg("-vV").output().unwrap();
    let host = String::from_utf8(host.stdout).unwrap();
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", host])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What each crate of the workspace builds on, without what only its tests use.
fn arrows(metadata: &Value) -> BTreeMap<&str, Vec<&str>> {
    let members = metadata["workspace_members"].as_array().unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter().filter(|package| members.contains(&package["id"]));
    packages
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            let built = dependencies.filter(|dependency| dependency["kind"].is_null());
            (package["name"].as_str().unwrap(), built.map(|dependency| dependency["name"].as_str().unwrap()).collect())
        })
        .collect()
}

#[test]
fn crates_know_only_what_they_may() {
    let metadata = metadata();
    let arrows = arrows(&metadata);
    let map = std::fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let (_, map) = map.split_once("Allowed dependencies").unwrap();
    let rules = map.split("```\n").nth(1).unwrap().lines().map(|line| line.split_once(" on ").unwrap_or((line, "")));
    let full = |name: &str| format!("dataflow-{name}");
    let may: BTreeMap<String, Vec<String>> =
        rules.map(|(name, on)| (full(name), on.split_terminator(", ").map(full).collect())).collect();
    for (name, on) in &arrows {
        let Some(allowed) = may.get(*name) else { continue };
        let ours = on.iter().filter(|dependency| dependency.starts_with("dataflow"));
        let forbidden: Vec<_> =
            ours.filter(|dependency| !allowed.iter().any(|allowed| allowed == *dependency)).collect();
        assert!(forbidden.is_empty(), "{name} may not build on {forbidden:?}: only on {allowed:?}");
    }
    let known =
        |name: &str| may.contains_key(name) || ["dataflow", "dataflow-testkit", "dataflow-fuzz"].contains(&name);
    let unknown: Vec<_> = arrows.keys().filter(|name| !known(name)).collect();
    assert!(unknown.is_empty(), "say in ARCHITECTURE.md what {unknown:?} may build on");
    let gone: Vec<_> = may.keys().filter(|name| !arrows.contains_key(name.as_str())).collect();
    assert!(gone.is_empty(), "ARCHITECTURE.md names {gone:?}, which are no crates");
}

#[test]
fn what_ships_has_no_fault_points() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let program = packages.iter().find(|package| package["name"] == "dataflow").unwrap();
    assert!(program["features"]["default"].is_null(), "{}", program["features"]);
    let mut built = program["dependencies"].as_array().unwrap().iter().filter(|on| on["kind"].is_null());
    let testkit = built.find(|on| on["name"] == "dataflow-testkit").unwrap();
    assert_eq!(testkit["optional"], true);
}

#[test]
fn the_domain_is_pure() {
    let metadata = metadata();
    let impure = ["tokio", "arrow", "futures", "async-trait", "rand", "reqwest", "rusqlite"];
    let on: Vec<_> = arrows(&metadata)["dataflow-core"].iter().filter(|name| impure.contains(name)).copied().collect();
    assert!(on.is_empty(), "dataflow-core must not know {on:?}");
}

/// A sink that groups rows by an expression is a folder and a line: nothing else of the house knows that it is there.
#[tokio::test]
async fn a_new_sink_is_a_folder_and_a_line() {
    let catalog = catalog().sink::<grouped::GroupedSink>();
    let connectors =
        Connectors { catalog: catalog.into(), connections: Connections::default().into(), compiler: compiler() };
    let spec = |group: &str| {
        json!({
            "pipelineId": "p",
            "source": {"type": "generate", "count": 3, "schema": {"id": {"type": "sequence"}}},
            "transforms": [{"type": "map", "set": {"n": "id + 1"}, "select": ["n"]}],
            "sink": {"type": "grouped", "group": group}
        })
    };
    let wrong = check_new(&connectors, &spec("id % 2")).unwrap_err();
    assert_eq!((wrong[0].path.as_str(), wrong[0].code.as_str()), ("sink.group", "unknown-field"), "{wrong:?}");
    let (pipeline, spec) = check_new(&connectors, &spec("case when n > 1 then n % 2 end")).unwrap();
    let parts = Parts {
        clock: Arc::new(SystemClock),
        rng: Arc::new(Random::seeded(1)),
        spawner: Arc::new(TokioSpawner),
        compute: Arc::new(Inline),
        net: Arc::new(TcpNet),
        journal: Journal::new(Arc::new(Memory::new())),
        plugins: Arc::new(connectors),
    };
    let node = Node::build(&Settings::default(), &Default::default(), parts, None).await.unwrap();
    let actor = Actor::try_from("test").unwrap();
    let client = PipelineClient::new(node.region(), pipeline, actor.clone());
    for (name, action) in [("create", Action::Create(Box::new(spec))), ("start", Action::Start { sink: None })] {
        let (id, actor) = (CommandId::try_from(name).unwrap(), actor.clone());
        let command = UserCommand { id, actor, reason: None, trace: None, expected_version: None, action };
        client.change(command).await.unwrap();
    }
    loop {
        let now = client.snapshot().await.unwrap();
        if now.counters.delivered == 3 && now.in_flight == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let written: Vec<(Option<String>, usize)> =
        grouped::groups().iter().map(|(group, rows)| (group.clone(), rows.len())).collect();
    assert_eq!(written, [(None, 1), (Some("0".into()), 1), (Some("1".into()), 1)]);
}

/// Beside the connectors and what wires them, nobody knows one by its name, nor a setting of it by its.
#[test]
fn only_connectors_know_connectors_and_their_settings() {
    // The partition of what was pushed is called so in positions and records.
    let exempt = ["core/src/pipeline/inbox.rs \"http\"", "sdk/src/catalog/secrets.rs \"file\""];
    let catalog = catalog();
    let names = catalog.connectors().iter().map(|connector| format!("{:?}", connector.ty));
    let told: Vec<String> = names.chain([".config.get(".into()]).collect();
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    let found = naming(&["core", "sdk", "formats", "transforms", "engine", "verify", "api", "journal"], &told);
    let mut found: Vec<String> = found.into_iter().map(|(file, name)| format!("{file} {name}")).collect();
    found.retain(|found| !exempt.contains(&found.as_str()));
    assert!(found.is_empty(), "{found:?}: what a setting means the connector declares: `dataflow_sdk::declared`");
}

/// Nobody but sources, and the inbox of what was pushed, takes a position for a number: others ask the source.
#[test]
fn only_sources_read_positions() {
    let numbers = ["core/src/pipeline/inbox.rs", "core/src/pipeline/state.rs", "core/src/position.rs"];
    let defaults = ["sdk/src/extent.rs", "sdk/src/source.rs"];
    let found = naming(&["core", "sdk", "formats", "transforms", "sinks", "engine", "verify", "api"], &["as_offset"]);
    assert_eq!(found.into_iter().map(|(file, _)| file).collect::<Vec<_>>(), [&numbers[..], &defaults[..]].concat());
}

/// What of `told` the code of these crates has, file by file, tests aside.
fn naming(crates: &[&str], told: &[&str]) -> Vec<(String, String)> {
    let folders = crates.iter().map(|of| root().join("crates").join(of).join("src")).collect();
    let mut found = Vec::new();
    for (shown, text) in sources(folders) {
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let is_test = shown.contains("/tests") || shown.contains("/testing");
        let named = told.iter().filter(|name| !is_test && code.contains(**name));
        found.extend(named.map(|name| (shown.clone(), (*name).to_owned())));
    }
    found.sort();
    found
}

/// The Rust files in these folders and below: each with its path below `crates`, and its text.
fn sources(mut folders: Vec<PathBuf>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let shown = path.strip_prefix(root().join("crates")).unwrap().display().to_string();
                found.push((shown, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found
}

/// The modules at the top of a crate build on each other in one direction: who reads one need not know who uses it.
#[test]
fn modules_do_not_import_each_other_in_a_circle() {
    let debts = [
        "sdk: catalog, check, context, extent, paths, sink, source, transform",
        "transforms: expression, filter, map, program, sql, transform",
    ];
    let crates = std::fs::read_dir(root().join("crates")).unwrap().map(|of| of.unwrap().file_name());
    let mut crates: Vec<String> = crates.map(|name| name.into_string().unwrap()).collect();
    crates.sort_unstable();
    let circles = crates.iter().map(|of| (of, circle(imports(of)))).filter(|(_, circle)| !circle.is_empty());
    let found: Vec<_> = circles.map(|(of, circle)| format!("{of}: {}", circle.join(", "))).collect();
    assert_eq!(found, debts, "what both need belongs into a third module");
}

/// Which modules at the top of a crate each of them imports, tests aside.
fn imports(of: &str) -> BTreeMap<String, BTreeSet<String>> {
    let (given_on, mut all) = (given_on(of), BTreeMap::<String, BTreeSet<String>>::new());
    for (shown, text) in sources(vec![root().join("crates").join(of).join("src")]) {
        let module = shown.split("/src/").nth(1).unwrap().split(['/', '.']).next().unwrap();
        if shown.contains("tests") || shown.contains("testing") || ["lib", "main"].contains(&module) {
            continue;
        }
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let names = code.split("crate::").skip(1).flat_map(first_names);
        let modules = names.map(|name| given_on.get(&name).cloned().unwrap_or(name));
        all.entry(module.to_owned()).or_default().extend(modules);
    }
    all
}

/// The module of each name that a crate's `lib.rs` gives on as its own.
fn given_on(of: &str) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(root().join("crates").join(of).join("src/lib.rs")).unwrap_or_default();
    let mut given = BTreeMap::new();
    for statement in text.split("\npub").skip(1).filter_map(|rest| rest.split(';').next()) {
        let Some(("" | "(crate)", path)) = statement.split_once(" use ") else { continue };
        let (module, names) = path.split_once("::").unwrap_or((path, ""));
        let names = names.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|name| !name.is_empty());
        given.extend(names.map(|name| (name.to_owned(), module.to_owned())));
    }
    given
}

/// The first name of each path in `a::b`, or in `{a::b, c::{d, e}}`.
fn first_names(paths: &str) -> Vec<String> {
    let name = |text: &str| text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let Some(group) = paths.strip_prefix('{') else { return vec![name(paths)] };
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for c in group.chars().take_while(|c| *c != ';') {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => parts.push(String::new()),
            other if depth == 0 => parts.last_mut().unwrap().push(other),
            _ => {}
        }
    }
    parts.iter().map(|part| name(part)).collect()
}

/// The modules that are left once those are taken away, again and again, that import none or that none imports.
fn circle(mut imports: BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    loop {
        let names: BTreeSet<String> = imports.keys().cloned().collect();
        imports.iter_mut().for_each(|(module, on)| on.retain(|name| name != module && names.contains(name)));
        let imported: BTreeSet<String> = imports.values().flatten().cloned().collect();
        let before = imports.len();
        imports.retain(|module, on| !on.is_empty() && imported.contains(module));
        if imports.len() == before {
            return imports.into_keys().collect();
        }
    }
}

/// What users see is described where it is: nobody else knows how an API is documented.
#[test]
fn the_domain_and_the_engine_know_no_wire_type() {
    let metadata = metadata();
    let all = arrows(&metadata);
    let mut knowing: Vec<_> = all.iter().filter(|(_, on)| on.contains(&"utoipa")).map(|(name, _)| *name).collect();
    knowing.sort_unstable();
    assert_eq!(knowing, ["dataflow-api", "dataflow-api-types"]);
}

/// The picture of the tree is true: what the page on architecture names is there, and what the engine has is named.
#[test]
fn the_page_on_architecture_knows_the_tree() {
    let page = std::fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let quoted = page.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let paths = quoted.filter(|text| text.contains("/src/") || text.contains("/tests/"));
    let gone: Vec<_> =
        paths.filter(|path| !root().join("crates").join(path.trim_start_matches("crates/")).exists()).collect();
    assert!(gone.is_empty(), "docs/ARCHITECTURE.md names what is not there: {gone:?}");
    let tree = page.split("```").nth(1).unwrap();
    let of_engine = std::fs::read_dir(root().join("crates/engine/src")).unwrap();
    let names =
        of_engine.map(|entry| entry.unwrap().file_name().into_string().unwrap()).filter(|name| name != "lib.rs");
    let unnamed: Vec<_> = names.filter(|name| !tree.contains(name.as_str())).collect();
    assert!(unnamed.is_empty(), "the tree in docs/ARCHITECTURE.md lacks {unnamed:?} of the engine");
}

/// Files stay small enough to be read at once: the lengths are those that CONTRIBUTING.md names.
#[test]
fn files_stay_small() {
    /// Longer than the rest: to be split, and until then not to grow.
    const LONG: [(&str, usize); 1] = [("sinks/src/postgres/writer.rs", 570)];
    let (code, tests) = (400, 800);
    let crates = std::fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = crates.flat_map(|of| [of.join("src"), of.join("tests")]).collect();
    folders.retain(|folder| folder.is_dir());
    let mut wrong = Vec::new();
    for (shown, text) in sources(folders) {
        let is_test = ["/tests/", "/tests.rs", "/testing/", "testkit/"].iter().any(|part| shown.contains(part));
        let most = LONG.iter().find(|(file, _)| *file == shown).map(|(_, most)| *most);
        let lines = text.lines().count();
        let limit = most.unwrap_or(if is_test { tests } else { code });
        if lines > limit || most.is_some() && lines <= code {
            wrong.push(format!("{shown} has {lines} lines, the limit is {limit}"));
        }
    }
    assert!(wrong.is_empty(), "split them, or take what is short by now out of the list: {wrong:#?}");
}

/// What `make test` leaves out `make test-long` runs, in every crate; what is left out says so, or what runs it.
#[test]
fn tests_that_are_left_out_are_run_by_another_command() {
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let recipe = makefile.split("\ntest-long:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let all = "test --workspace --locked $(FAULTS) --tests -- --ignored";
    assert!(recipe.lines().any(|line| line.ends_with(all)), "{recipe}");
    let mut wrong = Vec::new();
    for (shown, text) in sources(vec![root().join("crates")]) {
        let left_out = text.lines().map(str::trim_start).filter(|line| line.starts_with("#[ignore"));
        let is_run = |line: &&str| {
            let runner = line
                .split("run by ")
                .nth(1)
                .and_then(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next());
            line.contains("make test-long") || runner.is_some_and(|runner| text.contains(&format!("fn {runner}(")))
        };
        wrong.extend(left_out.filter(|line| !is_run(line)).map(|line| format!("{shown}: {line}")));
    }
    assert!(wrong.is_empty(), "say that make test-long runs them: {wrong:#?}");
}

/// Every crate takes the lints of the workspace, which forbid `unsafe`, but for the one that calls a C library.
#[test]
fn unsafe_is_in_one_place() {
    let metadata = metadata();
    let members = metadata["workspace_members"].as_array().unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter().filter(|package| members.contains(&package["id"]));
    let exempt = packages.filter(|package| {
        let manifest = std::fs::read_to_string(package["manifest_path"].as_str().unwrap()).unwrap();
        manifest.parse::<toml::Table>().unwrap()["lints"].get("workspace").is_none()
    });
    assert_eq!(exempt.map(|package| package["name"].as_str().unwrap()).collect::<Vec<_>>(), ["dataflow-kafka"]);
}

#[test]
fn there_is_one_arrow_and_one_sqlite() {
    let metadata = metadata();
    for name in ["arrow-array", "libsqlite3-sys"] {
        let packages = metadata["packages"].as_array().unwrap().iter();
        let versions: Vec<_> = packages.filter(|package| package["name"] == name).map(|p| &p["version"]).collect();
        assert_eq!(versions.len(), 1, "{name}: {versions:?}");
    }
}

#[test]
fn dependencies_come_from_crates_io_under_licences_that_are_allowed() {
    let deny: toml::Value = toml::from_str(&std::fs::read_to_string(root().join("deny.toml")).unwrap()).unwrap();
    let allowed: Vec<_> =
        deny["licenses"]["allow"].as_array().unwrap().iter().filter_map(|name| name.as_str()).collect();
    let metadata = metadata();
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().unwrap().iter().filter(|package| !package["source"].is_null()) {
        let (name, source) = (&package["name"], package["source"].as_str().unwrap());
        if source != "registry+https://github.com/rust-lang/crates.io-index" {
            wrong.push(format!("{name} comes from {source}"));
        }
        match package["license"].as_str() {
            Some(license) if permits(license, &allowed) => {}
            license => wrong.push(format!("{name} is under {license:?}")),
        }
    }
    assert!(wrong.is_empty(), "not allowed by deny.toml:\n{}", wrong.join("\n"));
}

/// Whether a licence expression can be met with allowed licences only: `AND` binds closer than `OR`.
fn permits(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    either(&mut words, allowed)
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn either(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let mut permitted = both(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        permitted |= both(words, allowed);
    }
    permitted
}

fn both(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let mut permitted = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        permitted &= one(words, allowed);
    }
    permitted
}

fn one(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    if words.next_if_eq(&"(").is_some() {
        let permitted = either(words, allowed);
        return words.next_if_eq(&")").is_some() && permitted;
    }
    let mut name = words.next().unwrap_or_default().to_owned();
    if words.next_if_eq(&"WITH").is_some() {
        name = format!("{name} WITH {}", words.next().unwrap_or_default());
    }
    allowed.contains(&name.as_str())
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = ["MIT", "Apache-2.0 WITH LLVM-exception"];
    for yes in ["MIT", "GPL-2.0 OR MIT", "MIT/GPL-2.0", "(GPL-2.0 OR MIT) AND MIT", "Apache-2.0 WITH LLVM-exception"] {
        assert!(permits(yes, &allowed), "{yes}");
    }
    for no in ["GPL-2.0", "MIT AND GPL-2.0", "Apache-2.0", "(MIT OR GPL-2.0) AND GPL-2.0"] {
        assert!(!permits(no, &allowed), "{no}");
    }
}
