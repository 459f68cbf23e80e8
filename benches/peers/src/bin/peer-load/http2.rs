//! HTTP/2 from several connections, with several requests at one time on each.

use std::future::poll_fn;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use h2::SendStream;
use h2::client::SendRequest;
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::job::{Credential, Job};
use crate::tally::Tally;
use crate::{Failure, wait_for_the_start};

/// How much of an answer may be on its way: on a stream, and on a connection.
const WINDOWS: (u32, u32) = (1 << 20, 4 << 20);
/// A sender stops after this many wrong answers.
const MOST_WRONG: usize = 20;

pub fn run(job: Job) -> Result<Tally, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, load(Rc::new(job)))
}

async fn load(job: Rc<Job>) -> Result<Tally, Failure> {
    let mut clients = Vec::new();
    for _ in 0..job.connections {
        clients.push(open(&job).await?);
    }
    wait_for_the_start()?;
    let (start, mut tasks) = (Instant::now(), JoinSet::new());
    for client in clients {
        for _ in 0..job.streams {
            tasks.spawn_local(send(job.clone(), client.clone(), start));
        }
    }
    let mut all = Tally::default();
    while let Some(tally) = tasks.join_next().await {
        all.add(tally?);
    }
    Ok(all)
}

async fn open(job: &Job) -> Result<SendRequest<Bytes>, Failure> {
    let stream = TcpStream::connect(job.to).await?;
    stream.set_nodelay(true)?;
    match &job.tls {
        None => handshake(stream).await,
        Some(tls) => {
            let name = ServerName::try_from(job.host.clone())?;
            handshake(TlsConnector::from(tls.clone()).connect(name, stream).await?).await
        }
    }
}

async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
) -> Result<SendRequest<Bytes>, Failure> {
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(WINDOWS.0).initial_connection_window_size(WINDOWS.1);
    let (client, connection) = builder.handshake(stream).await?;
    // Its end is seen by the requests that are on it.
    tokio::task::spawn_local(async move { connection.await.ok() });
    Ok(client.ready().await?)
}

/// Sends one request after the other, as one of several on the connection.
async fn send(job: Rc<Job>, client: SendRequest<Bytes>, start: Instant) -> Tally {
    let (mut tally, body) = (Tally::default(), Bytes::from(job.body.clone()));
    while start.elapsed() < job.time && tally.wrong_answers() < MOST_WRONG {
        let token = match job.next_credential() {
            Credential::None => None,
            Credential::Token(token) => Some(token),
            Credential::UsedUp => break,
        };
        let begin = Instant::now();
        let outcome = match exchange(&job, client.clone(), token, body.clone()).await {
            Ok((status, length)) => job.judge(status, length),
            Err(error) => Err(error.to_string()),
        };
        tally.count(outcome, begin.elapsed());
    }
    tally.elapsed = start.elapsed();
    tally
}

/// Gives the answer's status, and the length of its body.
async fn exchange(
    job: &Job,
    client: SendRequest<Bytes>,
    token: Option<&str>,
    body: Bytes,
) -> Result<(u16, usize), Failure> {
    let request = request(job, token)?;
    let (answer, mut stream) = client.ready().await?.send_request(request, body.is_empty())?;
    if !body.is_empty() {
        send_body(&mut stream, body).await?;
    }
    let answer = answer.await?;
    let (status, mut body) = (answer.status().as_u16(), answer.into_body());
    let mut length = 0;
    while let Some(data) = body.data().await {
        let data = data?;
        length += data.len();
        body.flow_control().release_capacity(data.len())?;
    }
    Ok((status, length))
}

fn request(job: &Job, token: Option<&str>) -> Result<Request<()>, Failure> {
    let scheme = if job.tls.is_some() { "https" } else { "http" };
    let mut request = Request::builder()
        .method(job.method.as_str())
        .uri(format!("{scheme}://{}{}", job.host, job.path))
        .header("user-agent", "opgate-peers/1")
        .header("accept", "application/json");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    if job.method != "GET" {
        request = request.header("content-type", "application/json").header("content-length", job.body.len());
    }
    Ok(request.body(())?)
}

async fn send_body(stream: &mut SendStream<Bytes>, mut body: Bytes) -> Result<(), Failure> {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let room = poll_fn(|context| stream.poll_capacity(context)).await;
        let room = room.ok_or("the stream was closed while its body was sent")??;
        let part = body.split_to(room.min(body.len()));
        stream.send_data(part, body.is_empty())?;
    }
    Ok(())
}
