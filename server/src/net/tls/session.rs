//! The two ways of an encrypted connection, after the handshake.

use std::io::{self, BufRead as _, Write as _};
use std::sync::Mutex;

use bytes::BytesMut;
use tokio_rustls::rustls::ServerConnection;

use crate::net::lock::lock;

/// The keys of a connection, and what of its records is not whole yet. Reader and writer are on different tasks and share it; each holds the
/// lock for as long as it takes to code what it has in hand, microseconds, and neither waits for a socket meanwhile.
///
/// What it keeps is bounded: the beginning of a record (16 KiB). Records to be sent never stay here.
#[derive(Debug)]
pub(in crate::net) struct Session(Mutex<ServerConnection>);

impl Session {
    /// Of a connection whose handshake is done.
    pub(in crate::net) fn new(mut connection: ServerConnection) -> Self {
        // Records are taken out as soon as they are made: it is the writer who bounds what waits.
        connection.set_buffer_limit(None);
        Self(Mutex::new(connection))
    }

    /// Replaces what is to be said by the records that carry it, with what TLS itself has to say before them.
    pub(in crate::net) fn seal(&self, bytes: &mut Vec<u8>) -> io::Result<()> {
        let mut connection = lock(&self.0);
        connection.writer().write_all(bytes)?;
        bytes.clear();
        take_records(&mut connection, bytes)
    }

    /// Appends the record after which nothing more comes.
    pub(in crate::net) fn close(&self, records: &mut Vec<u8>) -> io::Result<()> {
        let mut connection = lock(&self.0);
        connection.send_close_notify();
        take_records(&mut connection, records)
    }

    /// Takes bytes of the socket and appends what was said in them; whether more may come. An error is a record that nobody with the
    /// keys has made: there is no knowing who it is from.
    pub(in crate::net) fn open(&self, mut records: &[u8], said: &mut BytesMut) -> io::Result<bool> {
        let mut connection = lock(&self.0);
        loop {
            let state = connection.process_new_packets().map_err(io::Error::other)?;
            take_plaintext(&mut connection, said)?;
            if state.peer_has_closed() {
                return Ok(false);
            }
            if records.is_empty() {
                return Ok(true);
            }
            // As many as there is room for: a record that comes byte by byte is kept until it is whole.
            connection.read_tls(&mut records)?;
        }
    }
}

fn take_records(connection: &mut ServerConnection, records: &mut Vec<u8>) -> io::Result<()> {
    while connection.wants_write() {
        connection.write_tls(records)?;
    }
    Ok(())
}

fn take_plaintext(connection: &mut ServerConnection, said: &mut BytesMut) -> io::Result<()> {
    let mut reader = connection.reader();
    loop {
        let length = match reader.fill_buf() {
            Ok([]) => return Ok(()),
            Ok(bytes) => {
                said.extend_from_slice(bytes);
                bytes.len()
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        reader.consume(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
    use tokio_rustls::rustls::version::{TLS12, TLS13};
    use tokio_rustls::rustls::{
        ClientConfig, ClientConnection, RootCertStore, ServerConfig, SupportedProtocolVersion,
    };

    /// Both ends, after their handshake.
    fn connected(version: &'static SupportedProtocolVersion) -> (Session, ClientConnection) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["x".to_owned()]).unwrap();
        let provider = Arc::new(ring::default_provider());
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut client = ClientConnection::new(Arc::new(client), ServerName::try_from("x").unwrap()).unwrap();
        let mut server = ServerConnection::new(Arc::new(server)).unwrap();
        while server.is_handshaking() || client.is_handshaking() {
            let mut way = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut way).unwrap();
            }
            let mut rest = &way[..];
            while !rest.is_empty() {
                server.read_tls(&mut rest).unwrap();
                server.process_new_packets().unwrap();
            }
            let mut way = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut way).unwrap();
            }
            hear(&mut client, &way);
        }
        (Session::new(server), client)
    }

    /// What a client hears in records.
    fn hear(client: &mut ClientConnection, mut records: &[u8]) -> Vec<u8> {
        let mut heard = Vec::new();
        while !records.is_empty() {
            client.read_tls(&mut records).unwrap();
            client.process_new_packets().unwrap();
            let mut reader = client.reader();
            while let Ok(bytes @ [_, ..]) = reader.fill_buf() {
                heard.extend_from_slice(bytes);
                let length = bytes.len();
                reader.consume(length);
            }
        }
        heard
    }

    fn say(client: &mut ClientConnection, words: &[u8]) -> Vec<u8> {
        client.set_buffer_limit(None);
        client.writer().write_all(words).unwrap();
        let mut records = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut records).unwrap();
        }
        records
    }

    #[test]
    fn what_is_said_on_one_side_is_heard_on_the_other_however_it_is_cut() {
        for version in [&TLS12, &TLS13] {
            let (session, mut client) = connected(version);
            for length in [1, 100, 16_384, 16_385, 100_000] {
                let words: Vec<u8> = (0..length).map(|index| (index * 31 + length) as u8).collect();
                let mut bytes = words.clone();
                session.seal(&mut bytes).unwrap();
                assert!(bytes.len() > words.len(), "{} of {length}", bytes.len());
                assert_eq!(hear(&mut client, &bytes), words);
                for portion in [7, 4096, 100_000] {
                    let mut said = BytesMut::new();
                    for cut in say(&mut client, &words).chunks(portion) {
                        assert!(session.open(cut, &mut said).unwrap());
                    }
                    assert_eq!(said, words, "{portion} bytes at a time");
                }
            }
        }
    }

    #[test]
    fn the_last_words_are_heard_before_the_end_is() {
        let (session, mut client) = connected(&TLS13);
        let mut records = say(&mut client, b"bye");
        client.send_close_notify();
        client.write_tls(&mut records).unwrap();
        let mut said = BytesMut::new();
        assert!(!session.open(&records, &mut said).unwrap());
        assert_eq!(said, &b"bye"[..]);
        let mut farewell = b"bye".to_vec();
        session.seal(&mut farewell).unwrap();
        session.close(&mut farewell).unwrap();
        assert_eq!(hear(&mut client, &farewell), b"bye");
        assert!(client.process_new_packets().unwrap().peer_has_closed());
    }

    #[test]
    fn a_record_that_was_bent_says_nothing() {
        for version in [&TLS12, &TLS13] {
            let (session, mut client) = connected(version);
            let mut records = say(&mut client, b"give me all");
            *records.last_mut().unwrap() ^= 1;
            let mut said = BytesMut::new();
            assert!(session.open(&records, &mut said).is_err());
            assert!(
                session.open(&say(&mut client, b"again"), &mut said).is_err(),
                "nothing is believed after it"
            );
            assert!(said.is_empty());
        }
    }
}
