//! What a server is shown of a password.
use ring::digest::{Algorithm, Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

/// The ways to prove a password that are known here. Others are said by the server's name for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plugin {
    /// `mysql_native_password`
    Native,
    /// `caching_sha2_password`
    CachingSha2,
    /// The password as it is: `mysql_clear_password`, for servers that let others check it.
    Clear,
}

impl Plugin {
    pub(crate) fn of(name: &[u8]) -> Option<Self> {
        match name {
            b"mysql_native_password" => Some(Self::Native),
            b"caching_sha2_password" => Some(Self::CachingSha2),
            b"mysql_clear_password" => Some(Self::Clear),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Native => "mysql_native_password",
            Self::CachingSha2 => "caching_sha2_password",
            Self::Clear => "mysql_clear_password",
        }
    }

    /// What proves a password to who has sent this nonce.
    pub(crate) fn proof(self, password: &str, nonce: &[u8]) -> Vec<u8> {
        if password.is_empty() {
            return Vec::new();
        }
        let of = |algorithm: &'static Algorithm, parts: &[&[u8]]| {
            let mut context = Context::new(algorithm);
            parts.iter().for_each(|part| context.update(part));
            context.finish()
        };
        let algorithm = match self {
            Self::Native => &SHA1_FOR_LEGACY_USE_ONLY,
            Self::CachingSha2 => &SHA256,
            Self::Clear => return clear(password),
        };
        let once = of(algorithm, &[password.as_bytes()]);
        let twice = of(algorithm, &[once.as_ref()]);
        let mixed = match self {
            Self::Native => of(algorithm, &[nonce, twice.as_ref()]),
            _ => of(algorithm, &[twice.as_ref(), nonce]),
        };
        once.as_ref().iter().zip(mixed.as_ref()).map(|(one, other)| one ^ other).collect()
    }
}

/// The password itself, as it is sent over an encrypted connection.
pub(crate) fn clear(password: &str) -> Vec<u8> {
    [password.as_bytes(), &[0]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs_are_those_that_servers_expect() {
        let nonce: Vec<u8> = (1..=20).collect();
        let hex = |plugin: Plugin| {
            plugin.proof("secret", &nonce).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        // By Python's hashlib.
        assert_eq!(hex(Plugin::Native), "b32bb3a583e1340c0a1108d58b1be49781ad8c2f");
        assert_eq!(hex(Plugin::CachingSha2), "746ebe205d56a0707acb3e796e834e0dd7b1d61743b26bd5202c7a623230c7c9");
        assert!(Plugin::Native.proof("", &nonce).is_empty());
        assert_eq!(clear("a"), b"a\0");
    }
}
