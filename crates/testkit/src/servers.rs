//! The real servers that some tests need; `dev/services` starts them.
use std::net::TcpStream;

/// The address of Kafka.
#[cfg(feature = "witness")]
pub(crate) const KAFKA: &str = ADDRESSES[0];
/// The addresses of Kafka and PostgreSQL.
const ADDRESSES: [&str; 2] = ["127.0.0.1:9092", "127.0.0.1:5432"];

/// Where Elasticsearch answers.
pub const ELASTICSEARCH: &str = "http://127.0.0.1:9200";
/// Where OpenSearch answers.
pub const OPENSEARCH: &str = "http://127.0.0.1:9201";
/// The addresses of both.
const SEARCH: [&str; 2] = ["127.0.0.1:9200", "127.0.0.1:9201"];

/// The search servers that are up; a missing one is a failure if they are required.
pub fn search() -> Vec<&'static str> {
    if !all_up(&SEARCH, "elasticsearch opensearch") {
        return Vec::new();
    }
    vec![ELASTICSEARCH, OPENSEARCH]
}

/// Where MinIO is.
pub const MINIO: &str = "http://127.0.0.1:9000";

/// Whether MinIO is up; where it is required, that it is not is a failure.
pub fn minio_is_up() -> bool {
    all_up(&[MINIO.trim_start_matches("http://")], "minio")
}

/// Whether Azurite is up; where it is required, that it is not is a failure.
pub fn azurite_is_up() -> bool {
    all_up(&["127.0.0.1:10000"], "azurite")
}

/// Where MariaDB is.
const MARIADB: &str = "127.0.0.1:3306";

/// Whether MariaDB is up; where it is required, that it is not is a failure.
pub fn mariadb_is_up() -> bool {
    all_up(&[MARIADB], "mariadb")
}

/// Returns whether the servers are up; a missing one is a failure if they are required.
pub fn are_up() -> bool {
    all_up(&ADDRESSES, "kafka postgres")
}

fn all_up(addresses: &[&str], names: &str) -> bool {
    let missing: Vec<_> = addresses.iter().filter(|address| TcpStream::connect(address).is_err()).collect();
    if missing.is_empty() {
        return true;
    }
    let required = std::env::vars().any(|(name, value)| name == "DATAFLOW_REQUIRE_SERVICES" && value == "1");
    assert!(!required, "nothing answers at {missing:?}");
    eprintln!("skipped: nothing answers at {missing:?} (dev/services/services.sh up {names})");
    false
}
