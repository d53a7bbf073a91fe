//! A Kafka broker of a test's own, by what `dev/services` installed.
use super::{Identity, Process, free_port};
use std::{
    env,
    fmt::Write as _,
    fs,
    io::{Read, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicI32, Ordering},
};
use tempfile::TempDir;

/// A port of the broker, and who may connect there. Users that log in nowhere are `User:ANONYMOUS`, who may do everything.
#[derive(Clone, Debug, Default)]
pub struct Listener {
    /// Its name: letters.
    pub name: &'static str,
    /// What the broker shows of itself; none: no TLS.
    pub tls: Option<Identity>,
    /// The authority (PEM) that has to have issued the certificates of clients; none: none is asked for.
    pub clients: Option<String>,
    /// The mechanism of the login, and the module of Java that checks it, with its options.
    pub login: Option<(&'static str, String)>,
    /// Further settings of this listener.
    pub more: Vec<(&'static str, &'static str)>,
}

/// A right: `("User:alice", 2, "orders", 3, 4)` is one of alice at topic `orders` to write.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'a> {
    /// Whose.
    pub principal: &'a str,
    /// What of, by Kafka's numbers: 2 a topic, 3 a group, 4 the cluster, 5 a transactional id.
    pub resource: u8,
    /// Its name, or what it begins with.
    pub prefix: &'a str,
    /// To do what, by Kafka's numbers: 2 all, 3 read, 4 write, 5 create, 8 describe, 10 describe configs.
    pub operation: u8,
}

/// A broker, and its controller. Their data is gone with them.
pub struct Kafka {
    folder: TempDir,
    ports: Vec<(&'static str, u16)>,
    broker: Process,
    /// A process of its own: a broker that is its own controller forgets transactions when it is killed and starts again.
    controller: Process,
}

impl std::fmt::Debug for Kafka {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kafka").field("ports", &self.ports).finish_non_exhaustive()
    }
}

/// How long the controller waits for a broker that is silent.
const FENCED_AFTER_MS: u32 = 3000;

/// The jars, and the java, that `dev/services` uses.
fn installed() -> Option<(PathBuf, PathBuf)> {
    let home = env::var_os("DATAFLOW_SERVICES_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache/dataflow-services")))?;
    let jars = home.join("install/kafka/lib");
    let given = ["DATAFLOW_SERVICES_JAVA17", "JAVA_HOME"].into_iter().filter_map(env::var_os).map(PathBuf::from);
    let found = fs::read_dir("/usr/lib/jvm").into_iter().flatten().flatten().map(|entry| entry.path());
    let java = given.chain(found).map(|home| home.join("bin/java")).find(|java| java.is_file())?;
    jars.is_dir().then_some((jars, java))
}

impl Kafka {
    /// Starts a broker with these ports beside one that anybody may use. `users`: names and passwords for SCRAM.
    /// None: Kafka is not installed.
    pub fn start(listeners: &[Listener], users: &[(&str, &str)], more: &[(&str, &str)]) -> Option<Self> {
        if installed().is_none() {
            let required = env::var_os("DATAFLOW_REQUIRE_SERVICES").is_some_and(|value| value == "1");
            assert!(!required, "Kafka is not installed (dev/services/services.sh up kafka)");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let plain = Listener { name: "PLAIN", ..Listener::default() };
        let mut ports = Vec::new();
        let mut settings = String::new();
        for listener in std::iter::once(&plain).chain(listeners) {
            ports.push((listener.name, free_port()));
            listener.write(&mut settings);
        }
        let controller = free_port();
        let at: Vec<String> = ports.iter().map(|(name, port)| format!("{name}://127.0.0.1:{port}")).collect();
        let protocols: Vec<String> =
            std::iter::once(&plain).chain(listeners).map(|of| format!("{}:{}", of.name, of.protocol())).collect();
        let log = folder.path().join("log");
        let both = format!(
            "controller.quorum.voters=2@127.0.0.1:{controller}\n\
             controller.listener.names=CONTROLLER\n\
             authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
             super.users=User:ANONYMOUS;User:admin\n\
             broker.session.timeout.ms={FENCED_AFTER_MS}\n"
        );
        write!(
            settings,
            "{both}process.roles=broker\n\
             node.id=1\n\
             inter.broker.listener.name=PLAIN\n\
             listeners={}\n\
             listener.security.protocol.map={},CONTROLLER:PLAINTEXT\n\
             log.dirs={}\n\
             offsets.topic.replication.factor=1\n\
             offsets.topic.num.partitions=1\n\
             transaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\n\
             transaction.state.log.num.partitions=1\n\
             auto.create.topics.enable=false\n",
            at.join(","),
            protocols.join(","),
            log.join("broker").display()
        )
        .expect("a text");
        for (name, value) in more {
            writeln!(settings, "{name}={value}").expect("a text");
        }
        let of_controller = format!(
            "{both}process.roles=controller\n\
             node.id=2\n\
             listeners=CONTROLLER://127.0.0.1:{controller}\n\
             log.dirs={}\n",
            log.join("controller").display()
        );
        for (name, settings) in [("broker", settings), ("controller", of_controller)] {
            let file = folder.path().join(name);
            fs::write(&file, settings).expect("a file");
            let mut format = Self::java(&folder);
            format.args(["kafka.tools.StorageTool", "format", "-t", "ZGF0YWZsb3ctc2VydmljZQ", "-c"]).arg(file);
            for (name, password) in users {
                for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                    format.args(["--add-scram", &format!("{mechanism}=[name={name},password={password}]")]);
                }
            }
            let formatted = format.output().expect("java runs");
            assert!(formatted.status.success(), "{}", String::from_utf8_lossy(&formatted.stdout));
        }
        let controller = Self::launch(&folder, "controller");
        let broker = Self::launch_broker(&folder, ports[0].1);
        Some(Self { folder, ports, broker, controller })
    }

    fn java(folder: &TempDir) -> Command {
        let (jars, java) = installed().expect("it was found before");
        let logging = folder.path().join("log4j2.properties");
        fs::write(
            &logging,
            "rootLogger.level=warn\nlogger.fencing.name=org.apache.kafka.controller\nlogger.fencing.level=info\nrootLogger.appenderRefs=out\nrootLogger.appenderRef.out.ref=out\n\
             appender.out.type=Console\nappender.out.name=out\nappender.out.layout.type=PatternLayout\n\
             appender.out.layout.pattern=%d %p %c %m%n\n",
        )
        .expect("a file");
        let mut java = Command::new(java);
        java.arg("-cp").arg(jars.join("*")).arg(format!("-Dlog4j2.configurationFile={}", logging.display()));
        // It is up sooner, and runs for seconds.
        java.args(["-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]);
        java.stdin(Stdio::null());
        java
    }

    fn launch(folder: &TempDir, name: &str) -> Process {
        let out = folder.path().join(format!("{name}.out"));
        let log = || fs::File::options().create(true).append(true).open(&out).expect("a file");
        let mut java = Self::java(folder);
        java.arg("kafka.Kafka").arg(folder.path().join(name)).stdout(log()).stderr(log());
        Process(java.spawn().expect("java runs"))
    }

    fn launch_broker(folder: &TempDir, port: u16) -> Process {
        let mut process = Self::launch(folder, "broker");
        // Metadata, version 1, of no topic: the answer lists a broker once it is in service.
        process.wait_for(&format!("Kafka ({})", folder.path().display()), || {
            ask(port, 3, 1, &[0, 0, 0, 0]).is_some_and(|answer| answer.get(..4) == Some(&[0, 0, 0, 1]))
        });
        process
    }

    /// `127.0.0.1:port` of a listener; `PLAIN` is the one for anybody.
    pub fn at(&self, listener: &str) -> String {
        let port = self.ports.iter().find(|(name, _)| *name == listener).expect("there is such a listener").1;
        format!("127.0.0.1:{port}")
    }

    /// Kills the broker. It is out of service when this returns, for the controller, too.
    pub fn kill(&mut self) {
        let Self { folder, broker, controller, .. } = self;
        // How often the controller has taken it out of service.
        let fenced = || said(folder, "controller").matches("Fencing broker").count();
        let before = fenced();
        broker.kill();
        controller.wait_for(&format!("the controller ({})", folder.path().display()), || fenced() > before);
    }

    /// Starts it again, where it was.
    pub fn start_again(&mut self) {
        self.broker = Self::launch_broker(&self.folder, self.ports[0].1);
    }

    /// What the broker has said, for the failure of a test.
    pub fn log(&self) -> String {
        said(&self.folder, "broker")
    }

    /// Gives rights.
    pub fn grant(&self, grants: &[Grant<'_>]) {
        let mut body = i32::try_from(grants.len()).expect("a few").to_be_bytes().to_vec();
        for Grant { principal, resource, prefix, operation } in grants {
            body.push(*resource);
            text(&mut body, prefix);
            // All that begins with it; the cluster has one name only.
            body.push(if *resource == 4 { 3 } else { 4 });
            text(&mut body, principal);
            text(&mut body, "*");
            body.extend([*operation, 3]); // allowed
        }
        let answer = ask(self.ports[0].1, 30, 1, &body).expect("an answer");
        // After the time that it was held back for, each has its error.
        let count = grants.len();
        assert_eq!(answer[4..8], i32::try_from(count).expect("a few").to_be_bytes(), "{answer:?}");
        let mut rest = &answer[8..];
        for _ in 0..count {
            assert_eq!(rest[..2], [0, 0], "refused: {answer:?}");
            let length = i16::from_be_bytes([rest[2], rest[3]]).max(0) as usize;
            rest = &rest[4 + length..];
        }
    }
}

/// What a process has said.
fn said(folder: &TempDir, name: &str) -> String {
    fs::read_to_string(folder.path().join(format!("{name}.out"))).unwrap_or_default()
}

fn text(body: &mut Vec<u8>, text: &str) {
    body.extend(i16::try_from(text.len()).expect("a short text").to_be_bytes());
    body.extend(text.as_bytes());
}

static ASKED: AtomicI32 = AtomicI32::new(1);

/// The answer to a request of Kafka's protocol, without its header.
fn ask(port: u16, what: u8, version: u8, body: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).ok()?;
    let number = ASKED.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let mut request = vec![0, what, 0, version];
    request.extend(number);
    request.extend([0xff, 0xff]); // a client without a name
    request.extend(body);
    stream.write_all(&u32::try_from(request.len()).ok()?.to_be_bytes()).ok()?;
    stream.write_all(&request).ok()?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer).ok()?;
    (answer.get(..4) == Some(&number)).then(|| answer.split_off(4))
}

impl Listener {
    fn protocol(&self) -> &'static str {
        match (self.login.is_some(), self.tls.is_some()) {
            (false, false) => "PLAINTEXT",
            (false, true) => "SSL",
            (true, false) => "SASL_PLAINTEXT",
            (true, true) => "SASL_SSL",
        }
    }

    fn write(&self, settings: &mut String) {
        let prefix = format!("listener.name.{}", self.name.to_lowercase());
        let mut set = |name: &str, value: &str| {
            let value = value.trim_end().replace('\n', "\\n");
            writeln!(settings, "{prefix}.{name}={value}").expect("a text");
        };
        if let Some(Identity { cert, key }) = &self.tls {
            set("ssl.keystore.type", "PEM");
            set("ssl.keystore.certificate.chain", cert);
            set("ssl.keystore.key", key);
        }
        if let Some(authority) = &self.clients {
            set("ssl.truststore.type", "PEM");
            set("ssl.truststore.certificates", authority);
            set("ssl.client.auth", "required");
        }
        if let Some((mechanism, module)) = &self.login {
            set("sasl.enabled.mechanisms", mechanism);
            set(&format!("{}.sasl.jaas.config", mechanism.to_lowercase()), module);
        }
        for (name, value) in &self.more {
            set(name, value);
        }
    }
}
