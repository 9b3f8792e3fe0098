//! The way to the server: TLS 1.3, and a server that is known by its certificate's digest and by nothing else.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use lexicon::{Alarm, Code, Digest, Fault, Refusal, Result, Retry, Trouble};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, PeerIncompatible, SignatureScheme};
use tokio::time::timeout;

use crate::ServerCard;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a request and its answer may take: the 64 MiB of a parcel over a line of 64 KiB a second are 1,024 s.
const WHOLE: Duration = Duration::from_secs(1_024);
/// How long the server may be silent after a request that is sent at once. It commits an act within a second, destroys
/// keys in a token or a service, and waits a minute for the deletion of parcels.
const SILENT: Duration = Duration::from_mins(5);
/// 1 MiB: over the line of [`WHOLE`] it is sent in 16 s. A request of more has all of [`WHOLE`] for being sent.
const SENT_AT_ONCE_BYTES_MAX: usize = 1024 * 1024;

/// The verbs that the door knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Read.
    Get,
    /// Hand in.
    Post,
    /// Store under a name.
    Put,
}

impl Method {
    /// As it stands in the request and under its signature.
    pub fn text(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }
}

/// One signed request on its way.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Its verb.
    pub method: Method,
    /// From the first slash, without the query.
    pub path: String,
    /// Without the question mark.
    pub query: String,
    /// Names in lower case, with their values.
    pub headers: Vec<(&'static str, String)>,
    /// What is sent.
    pub body: Bytes,
    /// The most bytes that are taken as an answer.
    pub answer_bytes_max: usize,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// At most as many bytes as were asked for.
    pub body: Bytes,
}

/// What carries a request to the server: the network, or a story's own server.
pub trait Transport: Send + Sync {
    /// Carries one request there and its answer back.
    ///
    /// # Errors
    /// Fault 1201 when no answer came; alarm 1202 when somebody else answers at the server's address.
    fn carry(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<Answer>>;
}

/// HTTPS to the one server of a [`ServerCard`].
pub struct Https {
    url: String,
    client: reqwest::Client,
    silent: Duration,
}

impl Https {
    /// A transport to the server of `card`; connects to nobody yet.
    ///
    /// # Errors
    /// A refusal when the card's address is not `https`; a fault when TLS cannot be set up.
    pub fn new(card: &ServerCard) -> Result<Self> {
        let url = card.url.trim_end_matches('/').to_owned();
        let host = host(&url).ok_or_else(|| {
            Refusal::new(
                Code(1205),
                format!("'{}' is not the address of a server", printable(&url)),
                "Ask for a new invitation; an address looks like https://host:port.",
            )
        })?;
        let tls = tls(card.fingerprint)?;
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT);
        // A laboratory's proxy only passes the TLS connection on; there is none to this machine itself.
        let builder = if ["localhost", "127.0.0.1", "[::1]"].contains(&host) { builder.no_proxy() } else { builder };
        let client =
            builder.build().map_err(|_| Fault::new(Code(1203), Retry::Never, "the HTTPS client cannot be set up"))?;
        Ok(Self { url, client, silent: SILENT })
    }

    async fn exchange(&self, outgoing: Outgoing) -> Result<Answer> {
        let query = if outgoing.query.is_empty() { String::new() } else { format!("?{}", outgoing.query) };
        let address = format!("{}{}{query}", self.url, outgoing.path);
        let method = match outgoing.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
        };
        let at_once = outgoing.body.len() <= SENT_AT_ONCE_BYTES_MAX;
        let mut request = self.client.request(method, address).timeout(WHOLE);
        for (name, value) in outgoing.headers {
            request = request.header(name, value);
        }
        let sent = request.body(outgoing.body).send();
        let answered = timeout(if at_once { self.silent } else { WHOLE }, sent).await;
        let mut response = answered.map_err(|_| self.silent())?.map_err(|error| self.lost(&error))?;
        let status = response.status().as_u16();
        let mut body = BytesMut::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.lost(&error))? {
            if body.len().saturating_add(piece.len()) > outgoing.answer_bytes_max {
                return Err(Alarm::new(
                    Code(1204),
                    format!("the server answers with more than the {} bytes that can be", outgoing.answer_bytes_max),
                )
                .into());
            }
            body.extend_from_slice(&piece);
        }
        Ok(Answer { status, body: body.freeze() })
    }

    fn lost(&self, error: &reqwest::Error) -> Trouble {
        if is_wrong_certificate(error) {
            return Alarm::new(
                Code(1202),
                format!(
                    "the certificate that is shown at {} is not the one that this device pinned: it was changed, or somebody else answers; nothing was sent; ask the server's operator by telephone, and if it was renewed take the new card in with `lazaret trust FILE --card`",
                    self.url
                ),
            )
            .into();
        }
        if error.is_timeout() {
            return self.silent();
        }
        Fault::new(Code(1201), Retry::Later, format!("the server at {} cannot be reached", self.url)).into()
    }

    fn silent(&self) -> Trouble {
        Fault::new(Code(1201), Retry::Later, format!("the server at {} did not answer in time", self.url)).into()
    }
}

impl Transport for Https {
    fn carry(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<Answer>> {
        Box::pin(self.exchange(outgoing))
    }
}

/// The host of `https://host`, `https://host:port` or `https://[v6]:port`; none when it is anything else.
fn host(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://")?;
    let is_plain = !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@\\".contains(&byte));
    let end = rest.find(']').map(|bracket| bracket.saturating_add(1)).or_else(|| rest.find(':')).unwrap_or(rest.len());
    rest.get(..end).filter(|host| is_plain && !host.is_empty())
}

/// What the server wrote, without what a terminal would obey, and no longer than a person reads.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(2_000).collect()
}

fn tls(fingerprint: Digest) -> Result<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(Pinned { fingerprint, provider: Arc::clone(&provider) });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|_| Fault::new(Code(1203), Retry::Never, "this build has no TLS 1.3"))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Accepts one certificate: no authority, name or date can make another one good, or this one bad.
struct Pinned {
    fingerprint: Digest,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pinned({})", self.fingerprint.short())
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if Digest::of(end_entity) == self.fingerprint {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::PeerIncompatible(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether a certificate, or the proof that the server holds its key, is at the bottom of this.
fn is_wrong_certificate(error: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return matches!(tls, rustls::Error::InvalidCertificate(_));
    }
    // An `io::Error` names as its source not the error that it holds, but that one's source.
    let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    match held {
        Some(held) => is_wrong_certificate(held),
        None => error.source().is_some_and(is_wrong_certificate),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    use people::PublicKey;
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};

    use super::*;

    /// A server for one connection, with a certificate of its own; what it saw of the request, if it came so far.
    struct Stand {
        card: ServerCard,
        served: JoinHandle<Option<String>>,
    }

    fn stand(versions: &'static [&'static SupportedProtocolVersion], answer: &'static str) -> Stand {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let fingerprint = Digest::of(&certificate);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let served = std::thread::spawn(move || {
            let (mut tcp, _) = listener.accept().unwrap();
            let mut tls = ServerConnection::new(Arc::new(config)).unwrap();
            let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
            let mut head = [0; 4_096];
            let read = stream.read(&mut head).ok()?;
            let request = String::from_utf8_lossy(&head[..read]).into_owned();
            if answer == SILENCE {
                // Until the other side goes; however it does is no trouble here.
                drop(stream.read(&mut [0; 64]));
                return Some(request);
            }
            stream.write_all(answer.as_bytes()).ok()?;
            stream.conn.send_close_notify();
            stream.flush().ok()?;
            Some(request)
        });
        let (origin, key) = ("lazaret.example/journal".to_owned(), PublicKey([0; 32]));
        Stand { card: ServerCard { url, fingerprint, origin, key, demonstration: true, serial: None }, served }
    }

    const TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
    const TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
    /// Nothing, until the other side has gone.
    const SILENCE: &str = "";
    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

    fn hello(answer_bytes_max: usize) -> Outgoing {
        let headers = vec![("signature", "lazaret=:AA==:".to_owned())];
        let (path, query) = ("/health".to_owned(), "a=b".to_owned());
        Outgoing { method: Method::Get, path, query, headers, body: Bytes::new(), answer_bytes_max }
    }

    #[tokio::test]
    async fn the_server_of_the_card_is_spoken_to() {
        let stand = stand(TLS13, OK);
        let answer = Https::new(&stand.card).unwrap().carry(hello(5)).await.unwrap();
        assert_eq!((answer.status, answer.body.as_ref()), (200, b"hello".as_slice()));
        let seen = stand.served.join().unwrap().unwrap();
        assert!(seen.starts_with("GET /health?a=b HTTP/1.1\r\n"), "{seen}");
        assert!(seen.contains("signature: lazaret=:AA==:"), "{seen}");
    }

    #[tokio::test]
    async fn another_certificate_is_an_alarm_and_no_request_is_sent() {
        let stand = stand(TLS13, OK);
        let card = ServerCard { fingerprint: Digest::of(b"another"), ..stand.card };
        let trouble = Https::new(&card).unwrap().carry(hello(5)).await.unwrap_err();
        assert!(matches!(&trouble, Trouble::Alarm(alarm) if alarm.code == Code(1202)), "{trouble}");
        assert_eq!(stand.served.join().unwrap(), None);
    }

    #[tokio::test]
    async fn tls_before_1_3_is_not_spoken() {
        let stand = stand(TLS12, OK);
        let trouble = Https::new(&stand.card).unwrap().carry(hello(5)).await.unwrap_err();
        assert_eq!(trouble.code(), Code(1201));
        assert_eq!(stand.served.join().unwrap(), None);
    }

    #[test]
    fn keys_are_agreed_on_with_ml_kem_first_and_the_tree_holds_one_provider() {
        let offered: Vec<_> =
            tls(Digest::of(b"c")).unwrap().crypto_provider().kx_groups.iter().map(|group| group.name()).collect();
        assert_eq!(offered.first(), Some(&rustls::NamedGroup::X25519MLKEM768), "{offered:?}");
        // A second provider in the tree, or none, makes this panic wherever a dependency asks for it.
        let by_itself = ClientConfig::builder().with_root_certificates(rustls::RootCertStore::empty());
        let by_itself = by_itself.with_no_client_auth();
        let offered = by_itself.crypto_provider().kx_groups.first().map(|group| group.name());
        assert_eq!(offered, Some(rustls::NamedGroup::X25519MLKEM768));
    }

    #[tokio::test]
    async fn an_answer_that_is_too_long_is_cut_off() {
        let stand = stand(TLS13, OK);
        let trouble = Https::new(&stand.card).unwrap().carry(hello(4)).await.unwrap_err();
        assert_eq!(trouble.code(), Code(1204));
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_not_waited_for_as_long_as_a_parcel_takes() {
        let stand = stand(TLS13, SILENCE);
        let https = Https { silent: Duration::from_millis(500), ..Https::new(&stand.card).unwrap() };
        // As much as any answer may have: what is sent decides, not what could come.
        let carried = timeout(Duration::from_secs(20), https.carry(hello(64 * 1024 * 1024))).await;
        let trouble = carried.expect("it is waited for").unwrap_err();
        drop(https);
        assert!(trouble.to_string().contains("did not answer in time"), "{trouble}");
        assert!(matches!(trouble, Trouble::Fault(fault) if fault.code == Code(1201)));
        let heard = tokio::task::spawn_blocking(|| stand.served.join().unwrap()).await.unwrap().unwrap();
        assert!(heard.starts_with("GET /health"), "it was not asked");
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let elsewhere = "HTTP/1.1 302 Found\r\nlocation: https://elsewhere.example/\r\ncontent-length: 0\r\n\r\n";
        let stand = stand(TLS13, elsewhere);
        assert_eq!(Https::new(&stand.card).unwrap().carry(hello(5)).await.unwrap().status, 302);
    }

    #[tokio::test]
    async fn nobody_at_the_address_is_a_fault_to_try_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        drop(listener);
        let (fingerprint, origin, key) = (Digest::of(b"c"), String::new(), PublicKey([0; 32]));
        let card = ServerCard { url, fingerprint, origin, key, demonstration: true, serial: None };
        let trouble = Https::new(&card).unwrap().carry(hello(5)).await.unwrap_err();
        assert!(matches!(&trouble, Trouble::Fault(fault) if fault.code == Code(1201) && fault.retry == Retry::Later));
    }

    #[test]
    fn an_address_is_https_and_a_host_and_nothing_else() {
        for (url, expected) in [
            ("https://lazaret.example", Some("lazaret.example")),
            ("https://127.0.0.1:8443", Some("127.0.0.1")),
            ("https://[::1]:8443", Some("[::1]")),
            ("http://lazaret.example", None),
            ("https://", None),
            ("https://:80", None),
            ("https://user@lazaret.example", None),
            ("https://lazaret.example/elsewhere", None),
            ("https://lazaret.example?x", None),
        ] {
            assert_eq!(host(url), expected, "{url}");
        }
    }

    #[test]
    fn what_a_server_writes_gives_a_terminal_no_orders() {
        assert_eq!(printable("a\u{1b}[2Jb\r\nc"), "a[2Jbc");
    }
}
