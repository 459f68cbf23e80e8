//! Where a command finds the admin address of a gate on this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::problem::Problem;

/// The address to connect to where a gate is told to listen at `configured`.
///
/// # Errors
/// Where the port is left to the system: then the configuration does not say it.
pub(super) fn reachable(configured: SocketAddr, help: &'static str) -> Result<SocketAddr, Problem> {
    if configured.port() == 0 {
        let message = "the configuration leaves the port of the admin address to the system";
        return Err(Problem::new(message, help));
    }
    let ip = match configured.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Ok(SocketAddr::new(ip, configured.port()))
}
