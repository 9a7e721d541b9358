//! The `coder` blocks of docs/WIRE.md: from the left side of a row to the right.

use super::dense::Place;
use super::lanes::log2;
use super::page::rows;
use super::range::{RangeEncoder, Symbol};
use super::{dense, fast, section};
use crate::schema::Column;

fn check(block: &str, right_side: impl Fn(&str) -> String) {
    let wrong: Vec<_> = rows(block)
        .into_iter()
        .map(|(input, output)| (input, output, right_side(input)))
        .filter(|(_, output, computed)| output != computed)
        .map(|(input, _, computed)| format!("{input} -> {computed}"))
        .collect();
    assert!(wrong.is_empty(), "{block}: these rows have another right side:\n{}", wrong.join("\n"));
}

fn numbers<T: core::str::FromStr>(text: &str) -> Vec<T> {
    let number = |word: &str| word.parse().ok().unwrap_or_else(|| panic!("{word:?} is no number"));
    text.split([' ', ',']).filter(|word| !word.is_empty()).map(number).collect()
}

#[test]
fn numbers_fold_as_written() {
    check("coder fold", |input| section::fold(numbers(input)[0]).to_string());
}

#[test]
fn logarithms_are_as_written() {
    check("coder log2", |input| log2(numbers(input)[0]).to_string());
}

/// `min max [wraps], k, guess value`
#[test]
fn rice_codes_are_as_written() {
    check("coder rice", |input| {
        let wraps = input.contains(" wraps");
        let [min, max, k, guess, value] = numbers::<i32>(&input.replace(" wraps", ""))[..] else {
            panic!("{input}")
        };
        let bits = u32::BITS - (max.wrapping_sub(min) as u32).leading_zeros();
        let shape = Column { min, max, bits, wraps, threshold: 0, rate_hz: None };
        let residual = dense::residual(&shape, value, i64::from(guess));
        let mut text = String::new();
        fast::tell(&shape, k as u32, residual, value, |bits, count| {
            text.extend((0..count).map(|bit| if bits >> bit & 1 == 1 { '1' } else { '0' }));
        });
        text
    });
}

/// `start+size/bits ...`
#[test]
fn symbols_become_the_bytes_that_are_written() {
    check("coder range", |input| {
        let mut bytes = Vec::new();
        let mut encoder = RangeEncoder::new(&mut bytes);
        for symbol in input.split(' ') {
            let [start, size, bits] = numbers::<u32>(&symbol.replace(['+', '/'], " "))[..] else {
                panic!("{symbol}")
            };
            encoder.encode(Symbol { start: start as u16, size: (size - 1) as u16, bits: bits as u8 });
        }
        encoder.finish(0);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
    });
}

/// `scale fraction, residual` to table, token, raw bits and how many.
#[test]
fn residuals_become_the_tokens_that_are_written() {
    check("coder token", |input| {
        let (scale, residual) = input.split_once(", ").unwrap();
        let [scale, fraction] = numbers::<f32>(scale)[..] else { panic!("{input}") };
        let place = Place::new(scale, fraction);
        let (token, raw, bits) = place.token(numbers(residual)[0]);
        format!("{} {token} {raw} {bits}", place.table)
    });
}
