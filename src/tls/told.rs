//! The certificate of a client that another server has met.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use super::Certificate;
use crate::http::{ClientCertificate, NoCaller};

/// The certificate that a proxy says its client has shown, in PEM; `None` where that cannot be read. That the client has its key
/// is the proxy's word. It makes no caller: which authorities the proxy trusts is not known here.
pub fn certificate_told(pem: &[u8]) -> Option<ClientCertificate> {
    let mut chain = CertificateDer::pem_slice_iter(pem);
    let der = chain.next()?.ok()?;
    let certificate = Certificate::read(&der)?;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der);
    Some(ClientCertificate {
        thumbprint: URL_SAFE_NO_PAD.encode(digest),
        uri: certificate.uri().ok().map(str::to_owned),
        principal: None,
        caller: Err(NoCaller::ForTheAuditLine),
        until: certificate.until,
    })
}
