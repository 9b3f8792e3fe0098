//! Time stamps (RFC 3161): what was asked, what an authority answered, and whom one believes.

use std::sync::LazyLock;

use evidence::{Pack, Stamped, stamp, stamp_request, stamped};

use crate::promises::said_plainly;
use crate::stamps::{NONCE, P_256, ROOTS, RSA, certificate};
use crate::tale::{Setting, Tale};

static PACK: LazyLock<Pack> =
    LazyLock::new(|| Pack { certificate: Some(certificate()), ..Tale::approved(Setting::default()).pack() });
static REQUEST: LazyLock<Vec<u8>> = LazyLock::new(|| stamp_request(&PACK, NONCE).unwrap());

/// What the two authorities said.
static SAID: LazyLock<[Stamped; 2]> = LazyLock::new(|| [RSA, P_256].map(|response| in_pack(response).unwrap()));

fn in_pack(response: &[u8]) -> lexicon::Result<Stamped> {
    by(response, ROOTS).map(Option::unwrap)
}

fn by(response: &[u8], authorities: &[u8]) -> lexicon::Result<Option<Stamped>> {
    stamped(&Pack { stamp: Some(response.to_vec()), ..PACK.clone() }, authorities)
}

/// The first byte says which these are: the answer, the request, the authorities' certificates.
pub(crate) fn time_stamp(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let (request, response, authorities) = match which % 3 {
        0 => (REQUEST.as_slice(), bytes, ROOTS),
        1 => (bytes, RSA, ROOTS),
        _ => (REQUEST.as_slice(), P_256, bytes),
    };
    let kept = by(response, authorities);
    match stamp(&PACK, request, response, authorities) {
        Ok((pack, said)) => {
            assert_eq!(pack.stamp.as_deref(), Some(response), "another answer is kept");
            assert_eq!(kept.as_ref().ok(), Some(&Some(said)), "it says something else once it is kept");
        }
        Err(trouble) => said_plainly(&trouble),
    }
    match kept {
        Ok(said) => assert!(SAID.contains(&said.unwrap()), "a stamp that no authority gave"),
        Err(trouble) => said_plainly(&trouble),
    }
}

pub(crate) fn time_stamp_seeds() -> Vec<Vec<u8>> {
    [(0, RSA), (0, P_256), (1, REQUEST.as_slice()), (2, ROOTS)]
        .map(|(which, bytes)| [&[which], bytes].concat())
        .to_vec()
}
