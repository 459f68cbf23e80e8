//! A small DNS server, over UDP and TCP, whose answers the test changes.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;

pub const A: u16 = 1;
const AAAA: u16 = 28;
pub const SRV: u16 = 33;

/// The data of one record.
#[derive(Clone, Debug)]
pub enum Record {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    /// Priority, weight, port, target.
    Srv(u16, u16, u16, String),
}

/// How the server answers about a name.
#[derive(Clone, Debug)]
pub enum Says {
    /// With the records of the kind that is asked for; with none where the name has others.
    Records {
        ttl: u32,
        records: Vec<Record>,
    },
    /// The same, but what goes over UDP is cut and says so.
    Truncated {
        ttl: u32,
        records: Vec<Record>,
    },
    /// The same, but nothing at all to questions about IPv6.
    NothingOfIpv6 {
        ttl: u32,
        records: Vec<Record>,
    },
    Nxdomain,
    Servfail,
    /// Nothing.
    Silence,
}

pub struct DnsServer {
    pub address: SocketAddr,
    state: Arc<ServerState>,
    tasks: [JoinHandle<()>; 2],
}

#[derive(Default)]
struct ServerState {
    names: Mutex<HashMap<String, Says>>,
    /// The names and kinds that were asked for, and whether over TCP.
    asked: Mutex<Vec<(String, u16, bool)>>,
}

/// Records of IPv4 that are good for so many seconds.
pub fn records(ttl: u32, addresses: &[&str]) -> Says {
    let records = addresses.iter().map(|address| Record::A(address.parse().unwrap())).collect();
    Says::Records { ttl, records }
}

impl DnsServer {
    pub async fn start() -> Self {
        // The port has to be free for both.
        let (udp, tcp) = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let (address, state) = (tcp.local_addr().unwrap(), Arc::new(ServerState::default()));
        let tasks = [tokio::spawn(over_udp(udp, state.clone())), tokio::spawn(over_tcp(tcp, state.clone()))];
        Self { address, state, tasks }
    }

    /// From now on, this is what it says about a name. Of other names, it says that there are none.
    pub fn set(&self, name: &str, says: Says) {
        self.state.names.lock().unwrap().insert(name.to_owned(), says);
    }

    /// How often a name was asked for, for one kind of record.
    pub fn asked(&self, name: &str, kind: u16) -> usize {
        let asked = self.state.asked.lock().unwrap();
        asked.iter().filter(|(other, of_kind, _)| other == name && *of_kind == kind).count()
    }

    /// How many questions came over TCP.
    pub fn over_tcp(&self) -> usize {
        self.state.asked.lock().unwrap().iter().filter(|(_, _, over_tcp)| *over_tcp).count()
    }

    /// How many questions came.
    pub fn questions(&self) -> usize {
        self.state.asked.lock().unwrap().len()
    }

    /// Waits until a name was asked for more often than now, and was answered.
    pub async fn asked_again(&self, name: &str, kind: u16) {
        // The second one is asked after the answer to the first one was taken.
        let before = self.asked(name, kind);
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.asked(name, kind) < before + 2 {
            assert!(Instant::now() < deadline, "{name} is not asked for again");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn over_udp(socket: UdpSocket, state: Arc<ServerState>) {
    let mut packet = [0; 4096];
    loop {
        let (length, peer) = socket.recv_from(&mut packet).await.unwrap();
        if let Some(answer) = state.answer(&packet[..length], false) {
            socket.send_to(&answer, peer).await.unwrap();
        }
    }
}

async fn over_tcp(listener: TcpListener, state: Arc<ServerState>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let state = state.clone();
        tokio::spawn(async move {
            while let Ok(length) = stream.read_u16().await {
                let mut packet = vec![0; usize::from(length)];
                if stream.read_exact(&mut packet).await.is_err() {
                    return;
                }
                let Some(answer) = state.answer(&packet, true) else { continue };
                let mut framed = (answer.len() as u16).to_be_bytes().to_vec();
                framed.extend(answer);
                if stream.write_all(&framed).await.is_err() {
                    return;
                }
            }
        });
    }
}

impl ServerState {
    /// The answer to a question, if there is to be one.
    fn answer(&self, packet: &[u8], over_tcp: bool) -> Option<Vec<u8>> {
        let (name, end) = name_at(packet, 12);
        let kind = u16::from_be_bytes([packet[end], packet[end + 1]]);
        self.asked.lock().unwrap().push((name.clone(), kind, over_tcp));
        let says = self.names.lock().unwrap().get(&name).cloned().unwrap_or(Says::Nxdomain);
        let (code, is_cut, ttl, records) = match says {
            Says::Silence => return None,
            Says::NothingOfIpv6 { .. } if kind == AAAA => return None,
            Says::NothingOfIpv6 { ttl, records } => (0, false, ttl, records),
            Says::Nxdomain => (3, false, 0, Vec::new()),
            Says::Servfail => (2, false, 0, Vec::new()),
            Says::Records { ttl, records } => (0, false, ttl, records),
            Says::Truncated { records, .. } if !over_tcp => (0, true, 0, records[..1].to_vec()),
            Says::Truncated { ttl, records } => (0, false, ttl, records),
        };
        let data: Vec<Vec<u8>> = records.iter().filter_map(|record| data_of(record, kind)).collect();
        let mut answer = packet[..2].to_vec();
        answer.extend([0x81 | if is_cut { 2 } else { 0 }, 0x80 | code]);
        for count in [1, data.len() as u16, 0, 0] {
            answer.extend(count.to_be_bytes());
        }
        answer.extend(&packet[12..end + 4]);
        for data in data {
            // The name of the question, by its place.
            answer.extend([0xc0, 12]);
            answer.extend(kind.to_be_bytes());
            answer.extend(1u16.to_be_bytes());
            answer.extend(ttl.to_be_bytes());
            answer.extend((data.len() as u16).to_be_bytes());
            answer.extend(data);
        }
        Some(answer)
    }
}

/// The name that begins there, in lower case and without its last dot; and where it ends.
fn name_at(packet: &[u8], mut at: usize) -> (String, usize) {
    let mut labels = Vec::new();
    while packet[at] != 0 {
        let length = usize::from(packet[at]);
        labels.push(String::from_utf8_lossy(&packet[at + 1..=at + length]).to_lowercase());
        at += length + 1;
    }
    (labels.join("."), at + 1)
}

fn data_of(record: &Record, kind: u16) -> Option<Vec<u8>> {
    match record {
        Record::A(address) if kind == A => Some(address.octets().to_vec()),
        Record::Aaaa(address) if kind == AAAA => Some(address.octets().to_vec()),
        Record::Srv(priority, weight, port, target) if kind == SRV => {
            let mut data: Vec<u8> =
                [priority, weight, port].iter().flat_map(|number| number.to_be_bytes()).collect();
            for label in target.split('.').filter(|label| !label.is_empty()) {
                data.push(label.len() as u8);
                data.extend(label.as_bytes());
            }
            data.push(0);
            Some(data)
        }
        _ => None,
    }
}
