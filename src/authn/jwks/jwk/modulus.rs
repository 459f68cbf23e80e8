//! RSA moduli that can be factored, as far as the modulus itself tells.
//!
//! With the factors of a modulus, an attacker signs in the issuer's name. A card or a TPM with Infineon's RSA library (CVE-2017-15361,
//! "ROCA") makes primes of the form `k * M + (65537^a mod M)`, where `M` is the product of the first primes; keys of 2048
//! bits of that form have been factored. The fingerprint is that of Nemec et al., "The Return of Coppersmith's Attack"
//! (CCS 2017), section 3.1: modulo each of these primes, such a modulus is a power of 65537.

/// The odd primes of the fingerprint. A modulus of another origin has it with a probability of about 2^-28.
const FINGERPRINT_PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103,
    107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/// A modulus has no factor below (NIST SP 800-89, section 5.3.3).
const SMALLEST_FACTOR: u32 = 752;

/// Why a modulus, big-endian, can be factored; `None` where no weakness is known.
pub(super) fn weakness(modulus: &[u8]) -> Option<&'static str> {
    if (2..SMALLEST_FACTOR).any(|divisor| remainder(modulus, divisor) == 0) {
        return Some("has an RSA modulus with a small factor");
    }
    let is_power = |prime: &u32| powers_of_generator(*prime).any(|power| power == remainder(modulus, *prime));
    FINGERPRINT_PRIMES.iter().all(is_power).then_some(
        "has an RSA modulus that a faulty library has made and that can be factored (ROCA, CVE-2017-15361)",
    )
}

/// The modulus modulo a number below 2^16.
fn remainder(modulus: &[u8], divisor: u32) -> u32 {
    modulus.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % divisor)
}

/// Every power of 65537 modulo a prime, each once.
fn powers_of_generator(prime: u32) -> impl Iterator<Item = u32> {
    let generator = 65537 % prime;
    let next = move |power: &u32| Some(power * generator % prime).filter(|power| *power != 1);
    std::iter::successors(Some(1), next)
}

#[cfg(test)]
pub(super) mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    /// Made for this test, by the recipe of the faulty library: 2048 bits, `M` of 126 primes.
    pub(in crate::authn) const ROCA_MODULUS: &str = "uU_uVGD7LId1W6jXsjzcLWhfFWW7YMS30v7mtwCo93Xinu1m-wG_AL9qctX3mQ_hoWHdjmrFgWcPHuU2-lJ7VUVpVZYPn00fegiipC5JojV9y7qU_WSIdQsuK9cca8mKLmaGDTHCiB_gKq8OzWAoSpUs5wRz3cZZjsFV2mnU0MECGm7Rhvzjqa7qR5EMdfmPxA9CQvITSxDuar2ZqI_69o95RmA9snY83k0J-ikExdWbNsI-AjrxpaMxUMa10od3eXFtcI9KcB4CZ9t_YhQ2iauXGqE-eBdNcaJ3lLamw0m-0P9t4FWgOvGxB-mNEeSKVXg9rnLXkdqTBcCrc8U41Q";

    fn decode(modulus: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(modulus).unwrap()
    }

    #[test]
    fn a_modulus_of_the_faulty_library_is_known_by_its_fingerprint() {
        let modulus = decode(ROCA_MODULUS);
        assert!(weakness(&modulus).unwrap().contains("ROCA"));
        // The neighbours of the same number do not have it.
        for change in [2, 4, 6, 8, 12, 16] {
            let mut other = modulus.clone();
            *other.last_mut().unwrap() ^= change;
            assert!(!weakness(&other).is_some_and(|why| why.contains("ROCA")), "{change}");
        }
    }

    #[test]
    fn a_modulus_with_a_small_factor_is_found() {
        let mut modulus = decode(ROCA_MODULUS);
        // 751 is the largest prime below the bound.
        let rest = remainder(&modulus, 751);
        let last = modulus.len() - 2;
        let borrowed = u32::from(modulus[last]) * 256 + u32::from(modulus[last + 1]);
        let lowered = borrowed.checked_sub(rest).unwrap_or_else(|| borrowed + 751 - rest);
        modulus[last..].copy_from_slice(&u16::try_from(lowered).unwrap().to_be_bytes());
        assert_eq!(remainder(&modulus, 751), 0);
        assert_eq!(weakness(&modulus), Some("has an RSA modulus with a small factor"));
    }

    #[test]
    fn ordinary_keys_pass() {
        for bits in [2048, 3072, 4096] {
            let size = match bits {
                2048 => aws_lc_rs::rsa::KeySize::Rsa2048,
                3072 => aws_lc_rs::rsa::KeySize::Rsa3072,
                _ => aws_lc_rs::rsa::KeySize::Rsa4096,
            };
            let pair = aws_lc_rs::rsa::KeyPair::generate(size).unwrap();
            let modulus = aws_lc_rs::signature::KeyPair::public_key(&pair).modulus();
            assert_eq!(weakness(modulus.big_endian_without_leading_zero()), None, "{bits}");
        }
    }
}
