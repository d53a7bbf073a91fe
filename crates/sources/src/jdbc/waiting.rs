//! Says who holds rows back, if that is for long.
use super::said::Said;
use dataflow_core::warned::{Notice, Warned};

/// How often in a row somebody is met before he is named.
const LOOKS: u32 = 8;
/// Code of the warning that names him.
const CODE: &str = "waiting-for-transaction";

/// How often in a row somebody has held rows back.
#[derive(Debug, Default)]
pub(super) struct Waiting(u32);

impl Waiting {
    /// Somebody holds rows of `name` back. `words` says who, and until when.
    pub(super) fn met(&mut self, said: &Said, name: &str, words: impl FnOnce() -> String) {
        self.0 += 1;
        if self.0 >= LOOKS {
            said.say(Notice::Holds(Warned { code: CODE.into(), subject: name.into(), message: words(), records: 0 }));
        }
    }

    /// Nobody does.
    pub(super) fn over(&mut self, said: &Said, name: &str) {
        if std::mem::take(&mut self.0) >= LOOKS {
            said.say(Notice::over(CODE, name));
        }
    }
}
