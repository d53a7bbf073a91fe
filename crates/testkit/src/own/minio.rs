//! A MinIO of a test's own, by what `dev/services` installed.
use super::{Identity, Process, free_port};
use std::{
    env, fs,
    net::TcpStream,
    path::PathBuf,
    process::{Command, Stdio},
};
use tempfile::TempDir;

/// A server. Its data is gone with it.
pub struct Minio {
    folder: TempDir,
    port: u16,
    scheme: &'static str,
    process: Process,
}

/// How far MinIO has come with completing an upload, in its order (`RenameData` in its `xl-storage.go`).
#[derive(Clone, Copy, Debug)]
pub enum Completing<'a> {
    /// It has removed what it knew of the parts, and answers `InvalidPart` from then on.
    Forgotten,
    /// It has emptied the upload's description, to write it anew: `NoSuchUpload`.
    Rewriting,
    /// It has moved the data to where the object is to be (`bucket/key`), which it takes for a folder.
    Moved(&'a str),
}

impl std::fmt::Debug for Minio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Minio").field("port", &self.port).finish_non_exhaustive()
    }
}

fn installed() -> Option<PathBuf> {
    let home = env::var_os("DATAFLOW_SERVICES_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache/dataflow-services")))?;
    Some(home.join("install/minio/minio")).filter(|program| program.is_file())
}

impl Minio {
    /// Starts a server; `tls`: what it shows of itself. None: MinIO is not installed.
    pub fn start(tls: Option<&Identity>) -> Option<Self> {
        if installed().is_none() {
            let required = env::var_os("DATAFLOW_REQUIRE_SERVICES").is_some_and(|value| value == "1");
            assert!(!required, "MinIO is not installed (dev/services/services.sh up minio)");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["certs", "data"] {
            fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        if let Some(Identity { cert, key }) = tls {
            fs::write(folder.path().join("certs/public.crt"), cert).expect("a file");
            fs::write(folder.path().join("certs/private.key"), key).expect("a file");
        }
        let (port, scheme) = (free_port(), if tls.is_some() { "https" } else { "http" });
        let process = Self::launch(&folder, port);
        Some(Self { folder, port, scheme, process })
    }

    fn launch(folder: &TempDir, port: u16) -> Process {
        let log = || fs::File::options().create(true).append(true).open(folder.path().join("out")).expect("a file");
        let mut minio = Command::new(installed().expect("it was found before"));
        minio.envs([("MINIO_UPDATE", "off"), ("MINIO_BROWSER", "off"), ("GOMEMLIMIT", "256MiB")]);
        minio.args(["server", "--quiet", "--address", &format!("127.0.0.1:{port}"), "--certs-dir"]);
        minio.arg(folder.path().join("certs")).arg(folder.path().join("data"));
        minio.stdin(Stdio::null()).stdout(log()).stderr(log());
        let mut process = Process(minio.spawn().expect("minio runs"));
        process.wait_for("MinIO", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        process
    }

    /// Where it answers, by this name of the machine.
    pub fn endpoint_by(&self, host: &str) -> String {
        format!("{}://{host}:{}", self.scheme, self.port)
    }

    /// Where it answers.
    pub fn endpoint(&self) -> String {
        self.endpoint_by("127.0.0.1")
    }

    /// Kills the server.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Leaves all uploads as they are when it is killed while it completes them.
    pub fn killed_while(&self, completing: Completing<'_>) {
        let data = self.folder.path().join("data");
        let mut folders = vec![data.join(".minio.sys/multipart")];
        while let Some(folder) = folders.pop() {
            let entries: Vec<PathBuf> =
                fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
            let is_part =
                |path: &PathBuf| path.extension().is_some_and(|end| end == "meta") && !path.ends_with("xl.meta");
            let parts: Vec<&PathBuf> = entries.iter().filter(|path| is_part(path)).collect();
            for part in &parts {
                fs::remove_file(part).expect("it can be removed");
            }
            if let (Completing::Rewriting, Some(meta)) =
                (&completing, entries.iter().find(|path| path.ends_with("xl.meta")))
            {
                fs::write(meta, "").expect("it can be emptied");
            }
            match (entries.first().and_then(|entry| entry.parent()), &completing) {
                (Some(folder), Completing::Moved(to)) if !parts.is_empty() => {
                    let object = data.join(to);
                    fs::create_dir_all(&object).expect("a folder");
                    let name = folder.file_name().expect("it has a name");
                    fs::rename(folder, object.join(name)).expect("it can be moved");
                }
                _ => folders.extend(entries.into_iter().filter(|entry| entry.is_dir())),
            }
        }
    }

    /// Starts it again, where it was.
    pub fn start_again(&mut self) {
        self.process = Self::launch(&self.folder, self.port);
    }
}
