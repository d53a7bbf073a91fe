//! A bucket of S3 as a store: an upload is a multipart upload, which the server keeps until it is completed or aborted.
use super::S3Sink;
use crate::objects::{
    bucket::{self, InBucket},
    failure::{Doing, Trouble},
    handle::Object,
    store::{Completed, Objects, Uploads},
};
use async_trait::async_trait;
use bytes::Bytes;
use dataflow_s3::{Connection, Request};
use dataflow_sdk::{Context, Error};
use object_store::aws::{AmazonS3, S3ConditionalPut};

/// A bucket.
#[derive(Debug)]
pub(super) struct S3 {
    connection: Connection,
    conditional: bool,
}

/// What a user has to be allowed for a request, and why a server may ask for more.
fn rights(doing: &str) -> &'static str {
    match doing {
        "read" | "look at" => {
            "s3:GetObject on the bucket's objects and s3:ListBucket on the bucket: without the latter a server says so also of an \
             object that is not there"
        }
        "list" => "s3:ListBucket on the bucket",
        "abort the upload of" => "s3:AbortMultipartUpload on the bucket's objects",
        "delete" => "s3:DeleteObject on the bucket's objects",
        _ => "s3:PutObject on the bucket's objects",
    }
}

impl InBucket for S3 {
    type Client = AmazonS3;
    fn client(&self) -> &AmazonS3 {
        self.connection.store()
    }
    fn place(&self, key: &str) -> String {
        self.connection.place(key)
    }
    fn is_conditional(&self) -> bool {
        self.conditional
    }
    fn trouble(&self, doing: Doing, key: &str, error: object_store::Error) -> Trouble {
        self.connection.trouble(doing.words(), key)(error)
    }
}

impl S3 {
    pub(super) fn new(config: &S3Sink, cx: &Context) -> Result<Self, Error> {
        let conditional = config.conditional_writes;
        let puts = if conditional { S3ConditionalPut::ETagMatch } else { S3ConditionalPut::Disabled };
        let connection = Connection::new(&config.access, &config.bucket, puts, rights, cx)?;
        Ok(Self { connection, conditional })
    }

    /// Whether the server lists an upload as one that is neither completed nor aborted. MinIO does so by the upload's folder, also
    /// if it can't read what is in it. A user who may not list uploads sees none.
    async fn is_pending(&self, object: &Object) -> Result<bool, Error> {
        let query = [("uploads", ""), ("prefix", &object.key)];
        let asked = Request { doing: "list the uploads of", of: &object.key, key: None, query: &query, headers: &[] };
        let id = format!("<UploadId>{}</UploadId>", object.upload);
        match self.connection.get(asked).await {
            Ok(answer) => Ok(String::from_utf8_lossy(&answer.body).contains(&id)),
            Err(Trouble::Failed(error @ Error::Transient { .. })) => Err(error),
            Err(_) => Ok(false),
        }
    }
}

#[async_trait]
impl Uploads for S3 {
    async fn begin(&self, key: &str) -> Result<String, Trouble> {
        bucket::begin(self, key).await
    }

    async fn put_part(&self, key: &str, upload: &str, number: usize, part: Bytes) -> Result<String, Trouble> {
        bucket::put_part(self, key, upload, number, part).await
    }

    async fn complete(&self, object: &Object) -> Result<Completed, Error> {
        match bucket::complete(self, object).await {
            Ok(()) => Ok(Completed::Published),
            // The answer to an earlier try was lost, or the node was killed after it.
            Err(trouble @ (Trouble::Gone | Trouble::PartsGone | Trouble::Changed)) => Ok(match trouble {
                _ if self.is_published(object).await? => Completed::Published,
                Trouble::PartsGone => Completed::Forgotten,
                _ if self.is_pending(object).await? => Completed::Forgotten,
                _ => Completed::Gone,
            }),
            Err(trouble) => Err(trouble.error()),
        }
    }

    async fn abort(&self, key: &str, upload: &str) -> Result<(), Error> {
        bucket::abort(self, key, upload).await
    }

    fn may_forget(&self) -> bool {
        true
    }
}
