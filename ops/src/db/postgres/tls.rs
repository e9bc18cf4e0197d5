//! How a connection is encrypted and whose certificate is believed, in libpq's terms.
//!
//! Without `sslmode` or with `require` no certificate is checked, as in libpq without a root certificate:
//! that keeps out a listener, not an impostor. It must not claim more than `sslmode` asked for, nor do less.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::postgres::config::SslMode as DriverMode;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::cause::Cause;
use crate::url::percent_decode;

/// `sslmode`, from the weakest to the strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// What the URL says about encryption.
#[derive(Debug)]
pub(super) struct Tls {
    mode: Mode,
    roots: Option<PathBuf>,
}

impl Default for Tls {
    fn default() -> Self {
        Self { mode: Mode::Prefer, roots: None }
    }
}

impl Tls {
    pub(super) fn set_mode(&mut self, value: &str) -> Result<(), Cause> {
        self.mode = match value {
            "disable" => Mode::Disable,
            "prefer" => Mode::Prefer,
            "require" => Mode::Require,
            "verify-ca" => Mode::VerifyCa,
            "verify-full" => Mode::VerifyFull,
            _ => {
                return Err(Cause::new("the value of `sslmode` in the URL is not supported")
                    .check("write disable, prefer, require, verify-ca or verify-full"));
            }
        };
        Ok(())
    }

    /// A PEM file, or `system`, which is also what no value means.
    pub(super) fn set_roots(&mut self, value: &str) -> Result<(), Cause> {
        let path = percent_decode(value).map_err(|e| Cause::new(e.to_string()))?;
        self.roots = match Path::new(&path) {
            _ if path == "system" => None,
            path if path.is_absolute() => Some(path.to_path_buf()),
            _ => return Err(Cause::new("`sslrootcert` in the URL is neither `system` nor an absolute path")),
        };
        Ok(())
    }

    /// The driver knows only whether to encrypt; the rest is the verifier's.
    pub(super) fn driver_mode(&self) -> DriverMode {
        match self.mode {
            Mode::Disable => DriverMode::Disable,
            Mode::Prefer => DriverMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => DriverMode::Require,
        }
    }

    /// Reads the root certificates where the mode needs them.
    pub(super) fn client_config(&self) -> Result<ClientConfig, Cause> {
        let provider = Arc::new(ring::default_provider());
        // As in libpq, `require` together with a root certificate checks it.
        let checks_chain = self.mode >= Mode::VerifyCa || self.mode == Mode::Require && self.roots.is_some();
        let verifier = Verifier {
            roots: if checks_chain { Some(self.root_store()?) } else { None },
            checks_name: self.mode == Mode::VerifyFull,
            provider: Arc::clone(&provider),
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| Cause::new(e.to_string()))?;
        let config = config.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        Ok(config.with_no_client_auth())
    }

    fn root_store(&self) -> Result<RootCertStore, Cause> {
        let certificates = match &self.roots {
            Some(file) => {
                CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(
                    |e| Cause::new(format!("failed to read certificates from `{}`: {e}", file.display())),
                )?
            }
            None => rustls_native_certs::load_native_certs().certs,
        };
        let mut store = RootCertStore::empty();
        let (added, _) = store.add_parsable_certificates(certificates);
        if added > 0 {
            return Ok(store);
        }
        let place = match &self.roots {
            Some(file) => format!("in `{}`", file.display()),
            None => "among the system's roots".to_owned(),
        };
        Err(Cause::new(format!("no root certificate {place}"))
            .check("name a PEM file with `sslrootcert` in the URL"))
    }
}

/// Checks as much as the mode asks for. That the server holds the key of the certificate it shows is always
/// checked: SCRAM binds the login to that certificate.
#[derive(Debug)]
struct Verifier {
    roots: Option<RootCertStore>,
    checks_name: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)?;
            if self.checks_name {
                verify_server_name(&certificate, server_name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_and_roots_are_libpq_s() {
        let mut tls = Tls::default();
        assert_eq!(tls.driver_mode(), DriverMode::Prefer);
        tls.set_mode("verify-full").unwrap();
        assert_eq!(tls.driver_mode(), DriverMode::Require);
        assert!(tls.set_mode("allow").is_err());
        assert!(tls.set_roots("relative.pem").is_err());
        tls.set_roots("/a%20b.pem").unwrap();
        assert_eq!(tls.roots.as_deref(), Some(Path::new("/a b.pem")));
        tls.set_roots("system").unwrap();
        assert_eq!(tls.roots, None);
    }

    #[test]
    fn a_root_file_that_is_missing_or_empty_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["missing.pem", "empty.pem"] {
            let file = dir.path().join(name);
            if name == "empty.pem" {
                crate::files::write_atomic(&file, b"no certificate").unwrap();
            }
            let tls = Tls { mode: Mode::VerifyCa, roots: Some(file) };
            let error = tls.client_config().unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
