//! Stored JSON that says the version of its shape, as `v`.
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads such JSON; `newest` is the version that this build writes.
///
/// # Errors
/// Why it can't be read, to go after a colon.
pub(crate) fn read<T: DeserializeOwned>(json: &Value, newest: u32) -> Result<T, String> {
    match json.get("v").and_then(Value::as_u64) {
        Some(later) if later > u64::from(newest) => Err(format!("it has version {later}; this build reads {newest}")),
        _ => T::deserialize(json).map_err(|error| error.to_string()),
    }
}
