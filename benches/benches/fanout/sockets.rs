//! Many connections within this process, whose far ends another thread reads.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tickwire_server::net::WebSocketWriter;
use tokio::io::AsyncReadExt as _;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

/// As the server sets it.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// When something that was sent over loopback will not come any more.
const PATIENCE: Duration = Duration::from_mins(1);

/// The near ends, and how many bytes have come out of all far ends.
pub(crate) struct Connections {
    near: Vec<TcpStream>,
    received: Arc<AtomicU64>,
}

impl Connections {
    /// # Panics
    /// If the system has not so many sockets to give.
    pub(crate) fn open(count: usize) -> Self {
        match Self::try_open(count) {
            Ok(connections) => connections,
            Err(error) => panic!("{count} connections over loopback: {error}"),
        }
    }

    fn try_open(count: usize) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let (mut near, mut far) = (Vec::new(), Vec::new());
        for _ in 0..count {
            far.push(TcpStream::connect(address)?);
            let (accepted, _) = listener.accept()?;
            accepted.set_nodelay(true)?;
            SockRef::from(&accepted).set_send_buffer_size(SEND_BUFFER_BYTES)?;
            near.push(accepted);
        }
        let received = Arc::new(AtomicU64::new(0));
        let counter = received.clone();
        std::thread::spawn(move || {
            if let Err(error) = read_all(far, &counter) {
                eprintln!("the far ends cannot be read: {error}");
            }
        });
        Ok(Self { near, received })
    }

    /// Blocking sockets.
    pub(crate) fn near(&self) -> &[TcpStream] {
        &self.near
    }

    /// Takes the sockets out, as the server writes to them.
    ///
    /// # Panics
    /// If the runtime cannot take them.
    pub(crate) fn take_writers(&mut self, runtime: &Runtime) -> Vec<WebSocketWriter> {
        let near = std::mem::take(&mut self.near);
        match runtime.block_on(writers(near)) {
            Ok(writers) => writers,
            Err(error) => panic!("sockets of the runtime: {error}"),
        }
    }

    /// Waits until so many bytes have come, all in all.
    ///
    /// # Panics
    /// If more come, or they do not.
    pub(crate) fn wait_for(&self, bytes: u64) {
        let since = Instant::now();
        loop {
            let received = self.received.load(Ordering::Relaxed);
            if received == bytes {
                return;
            }
            assert!(received < bytes && since.elapsed() < PATIENCE, "{received} of {bytes} bytes have come");
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

async fn writers(sockets: Vec<TcpStream>) -> io::Result<Vec<WebSocketWriter>> {
    let mut writers = Vec::new();
    for socket in sockets {
        socket.set_nonblocking(true)?;
        let socket = tokio::net::TcpStream::from_std(socket)?;
        socket.writable().await?;
        writers.push(WebSocketWriter::new(socket.into_split().1));
    }
    Ok(writers)
}

/// Reads all of them to their ends.
fn read_all(far: Vec<TcpStream>, received: &Arc<AtomicU64>) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let mut readers = JoinSet::new();
        for socket in far {
            socket.set_nonblocking(true)?;
            let mut socket = tokio::net::TcpStream::from_std(socket)?;
            let received = received.clone();
            readers.spawn(async move {
                let mut bytes = [0; 2048];
                while let Ok(count @ 1..) = socket.read(&mut bytes).await {
                    received.fetch_add(count as u64, Ordering::Relaxed);
                }
            });
        }
        while readers.join_next().await.is_some() {}
        Ok(())
    })
}
