//! Lists of a bucket's objects, page by page, in the order of their keys.
use super::S3Source;
use dataflow_s3::{Connection, Request, Trouble};
use dataflow_sdk::Error;
use serde::Deserialize;

/// An object that a list names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) key: String,
    pub(super) etag: String,
    pub(super) size: u64,
    /// When it was written (RFC 3339).
    pub(super) modified: String,
}

/// A part of a list.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) objects: Vec<Listed>,
    /// The last key, if more come after it.
    pub(super) next: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    encoding_type: Option<String>,
    #[serde(default)]
    contents: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    key: String,
    #[serde(rename = "ETag", default)]
    etag: Option<String>,
    size: u64,
    #[serde(default)]
    last_modified: String,
}

/// The objects whose keys begin so and come after a key, as many as a page has, or at most so many.
pub(super) async fn page(
    bucket: &Connection,
    prefix: &str,
    after: Option<&str>,
    most: Option<u32>,
) -> Result<Page, Trouble> {
    let most = most.map(|most| most.to_string());
    // Keys may have characters that XML has not.
    let mut query = vec![("list-type", "2"), ("encoding-type", "url"), ("prefix", prefix)];
    query.extend(after.map(|after| ("start-after", after)));
    query.extend(most.as_deref().map(|most| ("max-keys", most)));
    let answer = bucket.get(Request { doing: "list", of: prefix, key: None, query: &query, headers: &[] }).await?;
    read(&answer.body, after).map_err(|why| {
        let message = format!("the list of {} can't be read: {why}", bucket.place(prefix));
        Trouble::Failed(Error::fatal("unsupported", message).fix("see whether `endpoint` is a server of S3's protocol"))
    })
}

fn read(body: &[u8], after: Option<&str>) -> Result<Page, String> {
    let answer: Answer = quick_xml::de::from_reader(body).map_err(|error| error.to_string())?;
    let encoded = answer.encoding_type.as_deref() == Some("url");
    let decoded = |key: String| match encoded {
        true => percent_encoding::percent_decode_str(&key.replace('+', " "))
            .decode_utf8()
            .map(Into::into)
            .map_err(|_| format!("{key} is not UTF-8")),
        false => Ok(key),
    };
    let mut objects = Vec::with_capacity(answer.contents.len());
    let mut last = None;
    for Entry { key, etag, size, last_modified } in answer.contents {
        let key = decoded(key)?;
        last = Some(key.clone());
        // Consoles mark a folder by an empty object.
        if size == 0 && key.ends_with('/') {
            continue;
        }
        let etag = etag.filter(|etag| !etag.is_empty()).ok_or_else(|| format!("{key} has no ETag"))?;
        objects.push(Listed { key, etag: etag.trim_matches('"').into(), size, modified: last_modified });
    }
    // What is read is told apart from what is new by where the list goes on: in another order objects would be missed.
    let keys = after.into_iter().chain(objects.iter().map(|listed| listed.key.as_str()));
    if !keys.is_sorted() || objects.first().is_some_and(|first| after == Some(&first.key)) {
        return Err("it is not in the order of the keys, after the last one that was listed".into());
    }
    let next = last.filter(|_| answer.is_truncated);
    if answer.is_truncated && next.is_none() {
        return Err("it has no object, but is said to go on".into());
    }
    Ok(Page { objects, next })
}

impl S3Source {
    /// An object as it is now, if it is there.
    pub(super) async fn look(&self, bucket: &Connection, key: &str) -> Result<Option<Listed>, Trouble> {
        let page = page(bucket, key, None, Some(1)).await?;
        Ok(page.objects.into_iter().next().filter(|first| first.key == key))
    }

    /// All objects that are read, as they are now.
    pub(super) async fn all(&self, bucket: &Connection) -> Result<Vec<Listed>, Error> {
        let (mut all, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = page(bucket, self.prefix(), after.as_deref(), None).await.map_err(Trouble::error)?;
            all.extend(page.objects.into_iter().filter(|listed| self.key(&listed.key) == super::keys::Key::Read));
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(all),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn list(keys: &[&str], more: &str) -> String {
        let entry = |key: &&str| {
            format!(
                "<Contents><Key>{key}</Key><LastModified>2026-11-30T00:00:00Z</LastModified><ETag>&quot;e-1&quot;</ETag><Size>3</Size></Contents>"
            )
        };
        let entries: String = keys.iter().map(entry).collect();
        format!(
            "<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name>{more}{entries}<CommonPrefixes><Prefix>x/</Prefix></CommonPrefixes></ListBucketResult>"
        )
    }

    #[test]
    fn keys_are_decoded_where_they_are_encoded() {
        let encoded = list(&["a+b%2Bc%25%C3%BC"], "<EncodingType>url</EncodingType>");
        let page = read(encoded.as_bytes(), None).unwrap();
        let expected =
            Listed { key: "a b+c%ü".into(), etag: "e-1".into(), size: 3, modified: "2026-11-30T00:00:00Z".into() };
        assert_eq!((page.objects, page.next), (vec![expected], None));
        assert_eq!(read(list(&["a+b%2B"], "").as_bytes(), None).unwrap().objects[0].key, "a+b%2B");
        assert!(read(list(&[], "").as_bytes(), None).unwrap().objects.is_empty());
        let folder = list(&["a/"], "<IsTruncated>true</IsTruncated>").replace("<Size>3<", "<Size>0<");
        let page = read(folder.as_bytes(), None).unwrap();
        assert_eq!((page.objects.len(), page.next.as_deref()), (0, Some("a/")));
    }

    #[test]
    fn a_list_that_would_miss_objects_is_refused() {
        let more = "<IsTruncated>true</IsTruncated>";
        assert_eq!(read(list(&["a", "b"], more).as_bytes(), None).unwrap().next.unwrap(), "b");
        for (body, after) in [
            (list(&["b", "a"], ""), None),
            (list(&["a", "b"], ""), Some("b")),
            (list(&["a", "b"], ""), Some("a")),
            (list(&[], more), None),
            ("<html>".into(), None),
        ] {
            assert!(read(body.as_bytes(), after).is_err(), "{body}");
        }
    }
}
