//! The certificate and its key: read from files, and read anew when they change.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ALL_VERSIONS, Error, InconsistentKeys, ServerConfig};

use crate::net::lock::lock;

/// How often the files are looked at: whoever renews a certificate does it days before it expires.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What is spoken inside. Whoever names other protocols only meant another server.
const PROTOCOL: &[u8] = b"http/1.1";

/// Where a server's certificate and its key are, as PEM.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsFiles {
    /// The certificate, and behind it those that vouch for it, without the root.
    pub certificate: PathBuf,
    /// Its private key: PKCS #8, PKCS #1 or SEC 1, not encrypted by a passphrase.
    pub key: PathBuf,
}

/// What new connections are shown.
pub(in crate::net) struct Tls {
    files: TlsFiles,
    current: Mutex<Arc<ServerConfig>>,
    /// As the files were when they were read first.
    loaded: [Stamp; 2],
}

/// By which a change of a file is noticed; nothing if there is no file.
type Stamp = Option<(SystemTime, u64)>;

impl Tls {
    /// Reads the files. What is wrong with them is an [`io::ErrorKind::InvalidInput`] that names the file and says what to do.
    pub(in crate::net) fn load(files: TlsFiles) -> io::Result<Self> {
        // Before they are read: what is written meanwhile is a change.
        let loaded = stamps(&files);
        let current = Mutex::new(read(&files)?);
        Ok(Self { files, current, loaded })
    }

    /// For the next handshake.
    pub(in crate::net) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(lock(&self.current).clone())
    }

    /// Reads the files again whenever they change. What cannot be used leaves the certificate as it is: half of a new pair is what one
    /// finds while the other half is being written.
    pub(in crate::net) async fn watch(self: Arc<Self>) {
        let mut seen = self.loaded;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let tls = self.clone();
            let looked = tokio::task::spawn_blocking(move || tls.look(seen)).await;
            seen = looked.unwrap_or(seen);
        }
    }

    /// One look, and what it saw.
    fn look(&self, seen: [Stamp; 2]) -> [Stamp; 2] {
        let stamps = stamps(&self.files);
        if stamps == seen {
            return seen;
        }
        match read(&self.files) {
            Ok(config) => {
                *lock(&self.current) = config;
                tracing::info!(file = %self.files.certificate.display(), "a new certificate: new connections are shown it");
            }
            Err(error) => tracing::warn!(%error, "the certificate stays the one of before"),
        }
        stamps
    }
}

fn stamps(files: &TlsFiles) -> [Stamp; 2] {
    let stamp = |path: &Path| {
        let data = fs::metadata(path).ok()?;
        Some((data.modified().ok()?, data.len()))
    };
    [stamp(&files.certificate), stamp(&files.key)]
}

fn read(files: &TlsFiles) -> io::Result<Arc<ServerConfig>> {
    let certificate = |what: String| wrong("--tls-cert", &files.certificate, &what);
    let key = |what: String| wrong("--tls-key", &files.key, &what);
    let chain =
        fs::read(&files.certificate).map_err(|error| certificate(format!("cannot be read: {error}")))?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<_, _>>()
        .map_err(|error| certificate(format!("this is no PEM: {error}")))?;
    if chain.is_empty() {
        return Err(certificate(
            "there is no certificate in it: give the whole chain as PEM, the server's own first".to_owned(),
        ));
    }
    let private = fs::read(&files.key).map_err(|error| key(format!("cannot be read: {error}")))?;
    let private = PrivateKeyDer::from_pem_slice(&private).map_err(|error| match error {
        pem::Error::NoItemsFound => key(
            "there is no private key in it: give PKCS #8, PKCS #1 or SEC 1 as PEM, and not encrypted by a passphrase".to_owned(),
        ),
        // Without what was found there, which may be part of a key.
        _ => key("this is no PEM".to_owned()),
    })?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(ALL_VERSIONS)
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(chain, private);
    let mut config = config.map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => key(format!(
            "this is not the key of the first certificate in {}: give the pair that was issued together",
            files.certificate.display()
        )),
        Error::InvalidCertificate(error) => {
            certificate(format!("the first certificate cannot be used: {error:?}"))
        }
        error => key(format!("cannot be used: {error}")),
    })?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    // Who comes back shows a ticket, and nothing is kept for it here.
    config.ticketer = ring::Ticketer::new().map_err(io::Error::other)?;
    Ok(Arc::new(config))
}

fn wrong(flag: &str, path: &Path, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{flag} {}: {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    /// A folder with a pair in it, gone with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("tickwire-tls-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn files(&self) -> TlsFiles {
            TlsFiles { certificate: self.0.join("cert.pem"), key: self.0.join("key.pem") }
        }

        fn write(&self, certificate: &str, key: &str) -> TlsFiles {
            let files = self.files();
            fs::write(&files.certificate, certificate).unwrap();
            fs::write(&files.key, key).unwrap();
            files
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn pair(name: &str) -> (String, String) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed([name.to_owned()]).unwrap();
        (cert.pem(), signing_key.serialize_pem())
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_with_its_name() {
        let folder = Folder::new("wrong");
        let ((certificate, key), (_, other)) = (pair("a"), pair("b"));
        let half = &certificate[..certificate.len() / 2];
        assert!(read(&folder.files()).unwrap_err().to_string().contains("cannot be read"));
        for (certificate, private, flag, words) in [
            ("", &key[..], "--tls-cert", "no certificate"),
            (&key, &key, "--tls-cert", "no certificate"),
            (half, &key, "--tls-cert", "no PEM"),
            (&certificate, "", "--tls-key", "no private key"),
            (&certificate, &certificate, "--tls-key", "no private key"),
            (&certificate, &key[..key.len() / 2], "--tls-key", "no PEM"),
            (&certificate, &other, "--tls-key", "not the key of"),
        ] {
            let error = read(&folder.write(certificate, private)).map(drop).expect_err(words);
            let text = error.to_string();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(text.starts_with(flag) && text.contains(words) && text.contains(".pem"), "{text}");
            assert!(key.lines().skip(1).all(|line| line.starts_with('-') || !text.contains(line)), "{text}");
        }
        assert!(read(&folder.write(&certificate, &key)).is_ok());
    }

    #[test]
    fn a_new_pair_takes_the_place_of_the_old_and_a_broken_one_does_not() {
        let folder = Folder::new("renewed");
        let ((first, first_key), (second, second_key)) = (pair("a"), pair("renewed"));
        let tls = Tls::load(folder.write(&first, &first_key)).unwrap();
        let current = || lock(&tls.current).clone();
        let (seen, before) = (tls.loaded, current());
        assert_eq!(tls.look(seen), seen);
        // Half of it is there, as while it is being renewed.
        folder.write(&second, &first_key);
        let halfway = tls.look(seen);
        assert!(halfway != seen && Arc::ptr_eq(&before, &current()));
        folder.write(&second, &second_key);
        let whole = tls.look(halfway);
        assert!(whole != halfway && !Arc::ptr_eq(&before, &current()));
        fs::remove_file(&tls.files.key).unwrap();
        let (gone, renewed) = (tls.look(whole), current());
        assert!(gone[1].is_none() && !Arc::ptr_eq(&before, &renewed));
        assert_eq!(tls.look(gone), gone);
        assert!(Arc::ptr_eq(&renewed, &current()));
    }
}
