//! TLS of a client, by rustls: whom it believes that a server is who it says.

use std::fmt;
use std::io;
use std::sync::{Arc, LazyLock};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error, OtherError, RootCertStore};

use super::error::{CertificateProblem, ConnectError};

/// What is spoken inside.
const PROTOCOL: &[u8] = b"http/1.1";

/// Whom a client believes when a server shows its certificate. The default are the authorities that Mozilla believes, as they were when this was
/// built: the same on every machine.
///
/// A clone is cheap, and shares the tickets by which a client that comes back makes its handshake shorter.
#[derive(Clone, Default)]
pub struct Roots {
    /// None: those built in.
    own: Option<Arc<ClientConfig>>,
}

/// Those built in. One for the whole program.
static BUILT_IN: LazyLock<Arc<ClientConfig>> =
    LazyLock::new(|| configured(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }));

impl Roots {
    /// Only the authorities in this PEM file, such as the one of a company or of a test.
    ///
    /// # Errors
    /// If there is none in it, or one that cannot be used: an [`io::ErrorKind::InvalidData`] that says which.
    pub fn from_pem(pem: &[u8]) -> io::Result<Self> {
        let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let mut roots = RootCertStore::empty();
        for (number, certificate) in (1..).zip(CertificateDer::pem_slice_iter(pem)) {
            let certificate = certificate.map_err(|error| wrong(format!("this is no PEM: {error}")))?;
            let added = roots.add(certificate);
            added.map_err(|error| wrong(format!("certificate {number} cannot be used: {error}")))?;
        }
        if roots.is_empty() {
            return Err(wrong("there is no certificate in it".to_owned()));
        }
        Ok(Self { own: Some(configured(roots)) })
    }

    fn config(&self) -> Arc<ClientConfig> {
        self.own.as_ref().unwrap_or(&BUILT_IN).clone()
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.own.is_some() { "Roots(own)" } else { "Roots(built in)" })
    }
}

fn configured(roots: RootCertStore) -> Arc<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let Ok(builder) = builder else { unreachable!("ring has the ciphers of TLS 1.2 and 1.3") };
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Arc::new(config)
}

/// Encrypts a stream that leads to `host`, once it has shown that it is that.
pub(super) async fn secure<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    host: &str,
    url: &str,
    roots: &Roots,
) -> Result<TlsStream<S>, ConnectError> {
    let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(name).map_err(|_| ConnectError::Address {
        url: url.to_owned(),
        reason: "its host can be in no certificate".to_owned(),
    })?;
    let secured = TlsConnector::from(roots.config()).connect(name, stream).await;
    secured.map_err(|error| failed(&error, url))
}

/// What a handshake that failed means.
fn failed(error: &io::Error, url: &str) -> ConnectError {
    let address = url.to_owned();
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(error)) => {
            ConnectError::Certificate { address, problem: problem(error) }
        }
        _ => ConnectError::Tls { address, reason: error.to_string() },
    }
}

fn problem(error: &CertificateError) -> CertificateProblem {
    match error {
        // The latter by an authority of the same name with another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => CertificateProblem::Unknown,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            CertificateProblem::WrongName
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => CertificateProblem::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            CertificateProblem::NotYet
        }
        CertificateError::Other(OtherError(error)) if error.to_string() == "CaUsedAsEndEntity" => {
            CertificateProblem::Authority
        }
        error => CertificateProblem::Unusable(error.to_string()),
    }
}
