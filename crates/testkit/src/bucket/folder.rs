//! A folder, as any program sees it.
use super::Shelf;
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use std::{fs, path::PathBuf, sync::Arc};

#[derive(Clone, Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }
}

#[async_trait]
impl Shelf for Folder {
    fn sink(&self) -> Value {
        json!({"type": "folder", "folder": self.0})
    }
    fn again(&self) -> Arc<dyn Shelf> {
        Arc::new(self.clone())
    }
    async fn make(&self) {
        fs::create_dir_all(&self.0).expect("a folder can be made");
    }
    async fn remove(&self) {
        drop(fs::remove_dir_all(&self.0));
    }
    async fn keys(&self) -> Vec<String> {
        let (mut keys, mut folders) = (Vec::new(), vec![self.0.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder can be listed") {
                let entry = entry.expect("a folder can be listed");
                let path = entry.path();
                match entry.file_type().expect("it has a type").is_dir() {
                    true => folders.push(path),
                    false => {
                        keys.push(path.strip_prefix(&self.0).expect("it is below").to_str().expect("a name").into())
                    }
                }
            }
        }
        keys
    }
    async fn get(&self, key: &str) -> Option<Bytes> {
        fs::read(self.0.join(key)).ok().map(Bytes::from)
    }
    async fn put(&self, key: &str, content: Bytes) {
        fs::write(self.0.join(key), content).expect("a file can be written");
    }
    async fn delete(&self, key: &str) {
        fs::remove_file(self.0.join(key)).expect("a file can be removed");
    }
    async fn is_under_way(&self, _: &str, upload: &str) -> bool {
        self.0.join(upload).exists()
    }
    async fn abort(&self, _: &str, upload: &str) {
        self.delete(upload).await;
    }
}
