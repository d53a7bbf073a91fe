//! Positions that a user names.
use super::{S3Source, keys::Key, known::Known, list::Listed, object::byte};
use dataflow_core::position::{Partition, Position};
use dataflow_s3::{Connection, Trouble};
use dataflow_sdk::Problem;

impl S3Source {
    /// The place in an object that a user names, of what the object is now. A place in the middle of a line is none: the rest of it would
    /// be taken for a record.
    pub(super) async fn placed(
        &self,
        bucket: &Connection,
        name: &str,
        at: &str,
    ) -> Result<Result<(Partition, Position), Problem>, Trouble> {
        let partition = Partition(name.into());
        let key = self.key_of(&partition).filter(|key| self.key(key) == Key::Read);
        let listed = match key {
            Some(key) => self.look(bucket, key).await?,
            None => None,
        };
        let Some(listed) = listed else {
            let message = format!("the source has no object {name:?}");
            let fix = format!("name one as {}", self.name("KEY"));
            return Ok(Err(Problem::new("to.positions", "unknown-partition", message).fix(fix)));
        };
        let wrong = |why: &str| {
            let message = format!("{partition}: {at} {why}");
            let fix =
                "give the number of bytes (decompressed) before a record, of a file of columns the number of rows";
            Ok(Err(Problem::new("to.positions", "bad-position", message).fix(fix)))
        };
        let Ok(place) = at.parse::<u64>() else { return wrong("is no whole number") };
        let bytes = self.counts_bytes(&listed.key);
        if bytes && place > listed.size {
            return wrong(&format!("is beyond its end, which is {}", listed.size));
        }
        if bytes && place > 0 && place < listed.size && byte(bucket, &listed, place - 1).await? != b'\n' {
            return wrong("is in the middle of a line");
        }
        let Listed { etag, size, .. } = listed;
        let known = Known { etag, size, ended: bytes && place == size && size > 0 };
        Ok(Ok((partition, known.at(place))))
    }
}
