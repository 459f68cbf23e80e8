//! The peer that opgate is built on: Pingora as it comes, forwarding everything and judging nothing.

use async_trait::async_trait;
use clap::Parser;
use pingora::apps::HttpServerOptions;
use pingora::listeners::tls::TlsSettings;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::Server;
use pingora::server::configuration::{Opt, ServerConf};
use pingora::upstreams::peer::HttpPeer;
use tokio_rustls::rustls::crypto::aws_lc_rs;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Arguments {
    /// Where clients connect without TLS: HTTP/1.1, or HTTP/2 by prior knowledge.
    #[arg(long)]
    plain: String,
    /// Where clients connect with TLS: HTTP/1.1 or HTTP/2, by ALPN.
    #[arg(long)]
    tls: String,
    /// The server's certificate, PEM.
    #[arg(long)]
    cert: String,
    /// Its key, PEM.
    #[arg(long)]
    key: String,
    /// The backend, HOST:PORT.
    #[arg(long)]
    backend: String,
}

/// Forwards each request to the one backend.
struct Forward(Box<HttpPeer>);

#[async_trait]
impl ProxyHttp for Forward {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> pingora::Result<Box<HttpPeer>> {
        Ok(self.0.clone())
    }
}

fn main() {
    let arguments = Arguments::parse();
    // What opgate's TLS is made of. Where one is installed already, Pingora keeps it.
    let _ = aws_lc_rs::default_provider().install_default();
    let conf = ServerConf { threads: 1, upstream_keepalive_pool_size: 256, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(Opt::default(), conf);
    server.bootstrap();
    let peer = HttpPeer::new(arguments.backend.as_str(), false, String::new());
    let mut service = http_proxy_service(&server.configuration, Forward(Box::new(peer)));
    if let Some(logic) = service.app_logic_mut() {
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        logic.server_options = Some(options);
    }
    service.add_tcp(&arguments.plain);
    let mut tls =
        TlsSettings::intermediate(&arguments.cert, &arguments.key).expect("the certificate is readable");
    tls.enable_h2();
    service.add_tls_with_settings(&arguments.tls, None, tls);
    server.add_service(service);
    server.run_forever();
}
