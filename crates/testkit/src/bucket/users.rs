//! Users of MinIO, made by its administrative API.
use super::{client, s3::ROOT};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use object_store::{
    aws::{AwsAuthorizer, AwsCredential},
    client::HttpRequest,
};
use reqwest::Method;
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hmac, pbkdf2,
    rand::{SecureRandom, SystemRandom},
};
use serde_json::{Value, json};
use std::num::NonZeroU32;

/// The policy of who may do this in a bucket.
pub(super) fn policy(bucket: &str, actions: &[&str]) -> Value {
    json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": actions, "Resource": [format!("arn:aws:s3:::{bucket}"), format!("arn:aws:s3:::{bucket}/*")]},
    ]})
}

/// A request of root to a service of the server; returns its answer.
pub(super) async fn ask(endpoint: &str, service: &str, method: Method, at: &str, body: Vec<u8>) -> String {
    let mut request = HttpRequest::new(body.into());
    *request.method_mut() = method;
    *request.uri_mut() = format!("{endpoint}{at}").parse().expect("an address");
    let kind = "application/x-www-form-urlencoded".parse().expect("a header");
    request.headers_mut().insert(reqwest::header::CONTENT_TYPE, kind);
    let root = AwsCredential { key_id: ROOT.into(), secret_key: ROOT.into(), token: None };
    AwsAuthorizer::new(&root, service, "us-east-1").authorize(&mut request, None);
    let (parts, body) = request.into_parts();
    let sent = client().request(parts.method, parts.uri.to_string()).headers(parts.headers);
    let sent = sent.body(body.as_bytes().expect("bytes").clone()).send().await.expect("the server answers");
    let status = sent.status();
    let answer = sent.text().await.expect("it says something");
    assert!(status.is_success(), "{at}: {status} {answer}");
    answer
}

/// The login of a user who may do this in a bucket; `status` is `enabled` or `disabled`.
pub(super) async fn user(endpoint: &str, bucket: &str, actions: &[&str], status: &str) -> Value {
    let (name, secret) = (format!("user-{bucket}"), "a secret of the user");
    let admin = |at: String, body: Vec<u8>| async move {
        ask(endpoint, "s3", Method::PUT, &format!("/minio/admin/v3/{at}"), body).await
    };
    admin(format!("add-canned-policy?name={name}"), policy(bucket, actions).to_string().into_bytes()).await;
    let settings = json!({"secretKey": secret, "status": "enabled"}).to_string();
    admin(format!("add-user?accessKey={name}"), sealed(settings.into_bytes())).await;
    admin(format!("set-user-or-group-policy?policyName={name}&userOrGroup={name}&isGroup=false"), Vec::new()).await;
    admin(format!("set-user-status?accessKey={name}&status={status}"), Vec::new()).await;
    json!({"accessKeyId": name, "secretAccessKey": secret})
}

/// A session's token whose time is over, signed as the server signs one.
pub(super) fn expired(session: &Value) -> Value {
    let part = |json: Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    let claims = json!({"accessKey": session["accessKeyId"], "exp": 1_000_000_000, "parent": ROOT});
    let signed = format!("{}.{}", part(json!({"alg": "HS512", "typ": "JWT"})), part(claims));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA512, ROOT.as_bytes()), signed.as_bytes());
    let mut session = session.clone();
    session["sessionToken"] = json!(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)));
    session
}

/// What the administrative API takes of secrets: encrypted with that of who asks (`EncryptData` of `madmin-go`).
fn sealed(mut content: Vec<u8>) -> Vec<u8> {
    const PBKDF2_AES_GCM: u8 = 2;
    let (mut salt, mut nonce, mut key) = ([0; 32], [0; 8], [0; 32]);
    let random = SystemRandom::new();
    random.fill(&mut salt).and_then(|()| random.fill(&mut nonce)).expect("there is randomness");
    let rounds = NonZeroU32::new(8_192).expect("some");
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, ROOT.as_bytes(), &mut key);
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("a key"));
    let numbered = |number: u32| {
        let mut whole = [0; 12];
        whole[..8].copy_from_slice(&nonce);
        whole[8..].copy_from_slice(&number.to_le_bytes());
        Nonce::assume_unique_for_key(whole)
    };
    // One fragment, which is the last: its number, and the tag of what it belongs to, which is nothing.
    let of_nothing = key.seal_in_place_separate_tag(numbered(0), Aad::empty(), &mut []).expect("a tag");
    let last = [&[0x80][..], of_nothing.as_ref()].concat();
    key.seal_in_place_append_tag(numbered(1), Aad::from(last), &mut content).expect("it can be sealed");
    [&salt[..], &[PBKDF2_AES_GCM], &nonce, &content].concat()
}
