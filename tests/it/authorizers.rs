//! opgate as the authorizer of other proxies: Envoy, nginx, Traefik, Caddy and HAProxy, each with the settings of the page about it,
//! in front of a backend that keeps what reaches it.

mod authzen;
mod corpora;
mod matrix;
mod reach;
