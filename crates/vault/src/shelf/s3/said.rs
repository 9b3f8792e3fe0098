//! What an object store says when it does not do what was asked, and what that means for whoever asked.
//!
//! Of its texts nothing is repeated but its one word for what is wrong (`AccessDenied`): the rest holds addresses, names
//! and the ids of access keys.

use std::error::Error as _;

use lexicon::{Code, Fault, Retry, Trouble};
use object_store::Error;
use object_store::client::{HttpError, HttpErrorKind};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// A status, and the store's word for it, where it gave one.
    No { status: u16, word: String },
    /// Nothing: there was no line to it.
    Unreachable,
    /// The far end's certificate does not hold.
    Uncertified,
    /// The answer did not come whole, or not in time.
    Cut,
    /// Something that no object store says.
    Odd,
}

impl Said {
    pub(super) fn status(status: u16, body: &str) -> Self {
        Self::No { status, word: word(body) }
    }

    pub(super) fn line(error: &HttpError) -> Self {
        let mut cause = error.source();
        while let Some(error) = cause {
            if error.to_string().contains("invalid peer certificate") {
                return Self::Uncertified;
            }
            cause = error.source();
        }
        match error.kind() {
            HttpErrorKind::Connect => Self::Unreachable,
            HttpErrorKind::Decode => Self::Odd,
            HttpErrorKind::Request
            | HttpErrorKind::Timeout
            | HttpErrorKind::Interrupted
            | HttpErrorKind::Unknown
            | _ => Self::Cut,
        }
    }

    pub(super) fn of(error: &Error) -> Self {
        let mut cause = error.source();
        while let Some(error) = cause {
            if let Some(line) = error.downcast_ref::<HttpError>() {
                return Self::line(line);
            }
            cause = error.source();
        }
        // The crate keeps the type that holds status and body to itself, and says both in its text.
        let text = error.to_string();
        let number = text.split_once("status code: ").and_then(|(_, rest)| rest.get(..3)?.parse().ok());
        let word = word(&text);
        match (number, error) {
            (Some(status), _) => Self::No { status, word },
            (None, Error::NotFound { .. }) => Self::No { status: 404, word },
            (None, Error::PermissionDenied { .. } | Error::Unauthenticated { .. }) => Self::No { status: 403, word },
            // A success whose body says that it was none.
            (None, _) if !word.is_empty() => Self::No { status: 500, word },
            (None, _) => Self::Odd,
        }
    }

    /// Whether the same can be answered otherwise a moment later.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::No { status, .. } => matches!(status, 408 | 429 | 500 | 502..=599) || self.is_other_part(),
            Self::Unreachable | Self::Cut => true,
            Self::Uncertified | Self::Odd => false,
        }
    }

    pub(super) fn is(&self, named: &str) -> bool {
        matches!(self, Self::No { word, .. } if word == named)
    }

    /// Whether the store does not know what it was asked.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self, Self::No { status: 501, .. }) || self.is("NotImplemented")
    }

    /// Whether what was asked for is not there, in a bucket that is.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::No { status: 404, .. }) && !self.is("NoSuchBucket")
    }

    /// Whether a part of an upload is another than the one that was sent.
    pub(super) fn is_other_part(&self) -> bool {
        self.is("InvalidPart")
    }

    /// Whether it was denied.
    pub(super) fn is_denial(&self) -> bool {
        matches!(self, Self::No { status: 401 | 403, .. })
    }

    /// `doing`: what the shelf failed to do.
    pub(super) fn trouble(&self, doing: &str) -> Trouble {
        let told = self.told();
        if self.is("NoSuchBucket") {
            let why = format!("the shelf failed to {doing}: the bucket that is configured does not exist");
            return Fault::new(Code(731), Retry::Never, why).into();
        }
        if self.is_denial() {
            let why =
                format!("the shelf failed to {doing}: the object store denies it to this server's access key{told}");
            return Fault::new(Code(732), Retry::Never, why).into();
        }
        if *self == Self::Unreachable {
            let why = format!("the shelf failed to {doing}: the object store cannot be reached");
            return Fault::new(Code(733), Retry::Later, why).into();
        }
        if self.may_pass() {
            let why = format!("the shelf failed to {doing}: the object store failed, or was cut or too slow{told}");
            return Fault::new(Code(734), Retry::Later, why).into();
        }
        if *self == Self::Uncertified {
            let why = format!("the shelf failed to {doing}: the object store's certificate does not hold");
            return Fault::new(Code(735), Retry::Never, why).into();
        }
        let why = format!(
            "the shelf failed to {doing}: what answers at the endpoint is no object store, or not of the region that is configured{told}"
        );
        Fault::new(Code(736), Retry::Never, why).into()
    }

    fn told(&self) -> String {
        match self {
            Self::No { status, word } if word.is_empty() => format!(" ({status})"),
            Self::No { status, word } => format!(" ({status} {word})"),
            Self::Unreachable | Self::Uncertified | Self::Cut | Self::Odd => String::new(),
        }
    }
}

/// The store's word for what is wrong, out of the XML of its answer.
fn word(text: &str) -> String {
    let word = text.split_once("<Code>").and_then(|(_, rest)| Some(rest.split_once("</Code>")?.0)).unwrap_or_default();
    let is_word = word.len() <= 64 && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_word { word.to_owned() } else { String::new() }
}
