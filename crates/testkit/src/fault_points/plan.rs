//! The selected faults, parsed from the variable.
use super::{Passing, VARIABLE};
use std::{fmt, str::FromStr, time::Duration};

/// The effect of a fault on the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// SIGKILL.
    Kill,
    /// SIGSTOP.
    Stop,
}

/// A fault: its action, and the passing at which it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The point.
    pub passing: Passing,
    /// The number of the passing since the process began, from 1.
    pub nth: u64,
    /// The action.
    pub action: Action,
    /// How long after the point.
    pub delay: Duration,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self.action {
            Action::Kill => "kill",
            Action::Stop => "stop",
        };
        write!(f, "{}@{}={action}", self.passing, self.nth)?;
        if self.delay.is_zero() { Ok(()) } else { write!(f, "+{}ms", self.delay.as_millis()) }
    }
}

/// The variable is malformed, or names an unknown point.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{VARIABLE}: {what}; a fault is POINT[@NTH]=kill|stop[+MILLISms], no-folder-lock, late-seals or count, several separated by \
     commas; the points are {}",
    Passing::all().map(|passing| passing.to_string()).collect::<Vec<_>>().join(", ")
)]
pub struct Invalid {
    what: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) faults: Vec<Fault>,
    pub(super) folder_lock: bool,
    pub(super) late_seals: bool,
}

impl FromStr for Plan {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut plan = Self { faults: Vec::new(), folder_lock: true, late_seals: false };
        for word in text.split(',').map(str::trim) {
            match word {
                "no-folder-lock" => plan.folder_lock = false,
                "late-seals" => plan.late_seals = true,
                "count" => {}
                fault => plan.faults.push(fault.parse()?),
            }
        }
        Ok(plan)
    }
}

impl FromStr for Fault {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |what: &str| Invalid { what: format!("{what} in {text:?}") };
        let (place, act) = text.split_once('=').ok_or_else(|| invalid("no action"))?;
        let (passing, nth) = place.split_once('@').unwrap_or((place, "1"));
        let passing = passing.parse().map_err(|()| invalid(&format!("there is no point {passing:?}")))?;
        let nth = nth.parse().ok().filter(|nth| *nth > 0).ok_or_else(|| invalid("no passing from 1 on"))?;
        let (action, delay) = act.split_once('+').unwrap_or((act, "0ms"));
        let action = match action {
            "kill" => Action::Kill,
            "stop" => Action::Stop,
            _ => return Err(invalid("an unknown action")),
        };
        let millis = delay.strip_suffix("ms").and_then(|millis| millis.parse().ok());
        let delay = Duration::from_millis(millis.ok_or_else(|| invalid("no delay in ms"))?);
        Ok(Self { passing, nth, action, delay })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn faults_are_read_as_they_are_written() {
        for text in ["before:sink-commit@17=kill", "after:checkpoint@1=stop", "before:claim@256=kill+5ms"] {
            assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
        }
        assert_eq!("after:seal=stop".parse::<Fault>().unwrap().to_string(), "after:seal@1=stop");
        let plan: Plan = "no-folder-lock, after:seal=stop,before:publish@2=kill".parse().unwrap();
        assert!(!plan.folder_lock && !plan.late_seals);
        assert_eq!(plan.faults.len(), 2);
        let plan: Plan = "late-seals,count".parse().unwrap();
        assert!(plan.late_seals && plan.faults.is_empty());
    }

    #[test]
    fn what_is_wrong_is_told_with_all_points() {
        for (text, what) in [
            ("after:sink-comit=kill", "no point \"after:sink-comit\""),
            ("after:sink-commit", "no action"),
            ("after:sink-commit=die", "an unknown action"),
            ("after:sink-commit@0=kill", "no passing from 1 on"),
            ("after:sink-commit=kill+5s", "no delay in ms"),
            ("", "no action in \"\""),
        ] {
            let error = text.parse::<Plan>().unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
            assert!(Passing::all().all(|passing| error.contains(&passing.to_string())), "{error}");
        }
    }
}
