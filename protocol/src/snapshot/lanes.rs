//! Four floats side by side: the axes of a vector, a quaternion, or a feature of each axis. Every line is an instruction or two.
//!
//! All of it is IEEE `+ - * / sqrt` and bit patterns, lane by lane: the same on every target, with vector units or without.

#![expect(clippy::many_single_char_names, reason = "axes, times and rates have their names of mathematics")]

use core::ops::{Add, Mul, Neg, Sub};

use wide::{f32x4, i32x4};

/// A vector of up to three axes, whose other lanes are 0 or ignored; or a quaternion, in xyzw order.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Lanes(f32x4);

impl Lanes {
    pub(super) const ZERO: Self = Self(f32x4::ZERO);

    #[inline]
    pub(super) fn new(lanes: [f32; 4]) -> Self {
        Self(f32x4::new(lanes))
    }

    /// The same on every axis.
    #[inline]
    pub(super) fn splat(value: f32) -> Self {
        Self(f32x4::splat(value))
    }

    #[inline]
    pub(super) fn lanes(self) -> [f32; 4] {
        self.0.to_array()
    }

    /// Within bounds; 0 where it is no finite number.
    #[inline]
    pub(super) fn within(self, least: f32, most: f32) -> Self {
        let bits = i32x4::new(self.lanes().map(|lane| lane.to_bits() as i32));
        let is_finite = (bits & i32x4::splat(i32::MAX)).simd_lt(i32x4::splat(0x7f80_0000));
        let finite = (bits & is_finite).to_array().map(|bits| f32::from_bits(bits as u32));
        Self(f32x4::new(finite).fast_max(f32x4::splat(least)).fast_min(f32x4::splat(most)))
    }

    /// 0 where its size is not less than `limit`, or it is no number.
    #[inline]
    pub(super) fn if_below(self, limit: f32) -> Self {
        Self(self.0 & self.0.abs().simd_lt(f32x4::splat(limit)))
    }

    /// The nearest integers, half away from zero. Lanes must be within 2^31.
    #[inline]
    pub(super) fn rounded(self) -> Ints {
        let half = f32x4::splat(0.5) | (self.0 & f32x4::splat(-0.0));
        Ints((self.0 + half).fast_trunc_int())
    }

    /// The next integers towards zero. Lanes must be within 2^31.
    #[inline]
    pub(super) fn truncated(self) -> Ints {
        Ints(self.0.fast_trunc_int())
    }

    /// Lane by lane.
    #[inline]
    pub(super) fn times(self, other: Self) -> Self {
        Self(self.0 * other.0)
    }

    #[inline]
    pub(super) fn abs(self) -> Self {
        Self(self.0.abs())
    }

    #[inline]
    pub(super) fn sqrt(self) -> Self {
        Self(self.0.sqrt())
    }

    #[inline]
    pub(super) fn squared(self) -> Self {
        self.times(self)
    }

    /// Of three axes.
    #[inline]
    pub(super) fn dot(self, other: Self) -> f32 {
        let [x, y, z, _] = self.times(other).lanes();
        x + y + z
    }

    #[inline]
    pub(super) fn cross(self, other: Self) -> Self {
        let turned = |v: Self| {
            let [x, y, z, w] = v.lanes();
            Self::new([y, z, x, w])
        };
        turned(self.times(turned(other)) - turned(self).times(other))
    }

    #[inline]
    pub(super) fn length_squared(self) -> f32 {
        self.dot(self)
    }

    #[inline]
    pub(super) fn length(self) -> f32 {
        self.length_squared().sqrt()
    }

    /// A vector of length 1, or of none.
    #[inline]
    pub(super) fn unit(self) -> Self {
        self * (1.0 / (self.length_squared() + 1e-9).sqrt())
    }

    /// Close to the binary logarithm of each lane's size: the exponent, and the mantissa as its fraction. Of what is no
    /// number, something finite.
    ///
    /// Source: the usual reading of a float's bits as a fixed-point logarithm (J. N. Mitchell, 1962).
    #[inline]
    pub(super) fn log2(self) -> Self {
        let bits: [f32; 4] = self.0.abs().to_array();
        let bits = f32x4::from_i32x4(i32x4::new(bits.map(|lane| lane.to_bits() as i32)));
        Self(bits * f32x4::splat(1.0 / 8_388_608.0) - f32x4::splat(127.0))
    }

    /// The bits of each lane.
    #[inline]
    pub(super) fn bits(self) -> Ints {
        Ints::new(self.lanes().map(|lane| lane.to_bits() as i32))
    }

    /// Within bounds; every lane must be a number.
    #[inline]
    pub(super) fn clamped(self, least: f32, most: f32) -> Self {
        Self(self.0.fast_max(f32x4::splat(least)).fast_min(f32x4::splat(most)))
    }

    /// The sum of the sizes of three axes, on every lane.
    #[inline]
    pub(super) fn extent(self) -> Self {
        let [x, y, z, _] = self.abs().lanes();
        Self::splat(x + y + z)
    }

    /// [`log2`](Self::log2) of one more than each lane's size.
    #[inline]
    pub(super) fn log2_1p(self) -> Self {
        (self.abs() + Self::splat(1.0)).log2()
    }

    /// Turned by a unit quaternion.
    #[inline]
    pub(super) fn turned(self, by: Self) -> Self {
        // v + 2 w (q × v) + 2 q × (q × v)
        let once = by.cross(self) * 2.0;
        self + once * by.lanes()[3] + by.cross(once)
    }

    /// Where a unit quaternion turns the x axis.
    #[inline]
    pub(super) fn turned_x(by: Self) -> Self {
        let [x, y, z, w] = by.lanes();
        by * (x + x) + Self::new([w, z, -y, 0.0]) * (w + w) - Self::new([1.0, 0.0, 0.0, 0.0])
    }

    /// Where a unit quaternion turns the z axis.
    #[inline]
    pub(super) fn turned_z(by: Self) -> Self {
        let [x, y, z, w] = by.lanes();
        by * (z + z) + Self::new([y, -x, w, 0.0]) * (w + w) - Self::new([0.0, 0.0, 1.0, 0.0])
    }
}

/// Four columns side by side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ints(i32x4);

impl Ints {
    /// Those from `first` on; what lies behind the last is 0.
    #[inline]
    pub(super) fn of(values: &[i32], first: usize) -> Self {
        // Places are small: nothing overflows, and one look at the length is enough.
        let first = first as u16 as usize;
        match values.get(first..first + 4).and_then(|four| four.first_chunk()) {
            Some(four) => Self(i32x4::new(*four)),
            None => Self::from_word(at_the_end(values, first)),
        }
    }

    /// As one number, that calls give back in registers: vectors they put into memory, even for those who did not call.
    #[inline]
    pub(super) fn word(self) -> u128 {
        let [x, y, z, w] = self.values().map(|value| u128::from(value as u32));
        x | y << 32 | z << 64 | w << 96
    }

    #[inline]
    pub(super) fn from_word(word: u128) -> Self {
        Self::new([0, 32, 64, 96].map(|shift| (word >> shift) as i32))
    }

    #[inline]
    pub(super) fn new(values: [i32; 4]) -> Self {
        Self(i32x4::new(values))
    }

    #[inline]
    pub(super) fn values(self) -> [i32; 4] {
        self.0.to_array()
    }

    /// The same on every lane.
    #[inline]
    pub(super) fn splat(value: i32) -> Self {
        Self(i32x4::splat(value))
    }

    /// Bit by bit.
    #[inline]
    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Bit by bit.
    #[inline]
    pub(super) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Times a power of two.
    #[inline]
    pub(super) fn shifted<const BITS: u32>(self) -> Self {
        Self(self.0 << BITS)
    }

    /// Whether all are 0.
    #[inline]
    pub(super) fn is_zero(self) -> bool {
        self.0.simd_eq(i32x4::ZERO).all()
    }

    /// Whether none is below its `least` or above its `most`.
    #[inline]
    pub(super) fn are_within(self, least: Self, most: Self) -> bool {
        (self.0.simd_lt(least.0) | self.0.simd_gt(most.0)).none()
    }

    #[inline]
    pub(super) fn first(self) -> i32 {
        let [first, ..] = self.0.to_array();
        first
    }

    #[inline]
    pub(super) fn lanes(self) -> Lanes {
        Lanes(f32x4::from_i32x4(self.0))
    }
}

/// [`Ints::of`] where there are less than four columns, as a [word](Ints::word).
#[cold]
#[inline(never)]
fn at_the_end(values: &[i32], first: usize) -> u128 {
    let values = values.get(first..).unwrap_or_default();
    values
        .iter()
        .zip([0, 32, 64, 96])
        .fold(0, |word, (value, shift)| word | u128::from(*value as u32) << shift)
}

/// Sums may wrap: they are guesses.
impl Add for Ints {
    type Output = Self;
    #[inline]
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

/// Differences may wrap: nothing is lost far from zero.
impl Sub for Ints {
    type Output = Self;
    #[inline]
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Add for Lanes {
    type Output = Self;
    #[inline]
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for Lanes {
    type Output = Self;
    #[inline]
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Mul<f32> for Lanes {
    type Output = Self;
    #[inline]
    fn mul(self, factor: f32) -> Self {
        Self(self.0 * f32x4::splat(factor))
    }
}

impl Neg for Lanes {
    type Output = Self;
    #[inline]
    fn neg(self) -> Self {
        Self(self.0 ^ f32x4::splat(-0.0))
    }
}

/// The product of two quaternions: first `b`, then `a`.
#[inline]
pub(super) fn quaternion_product(a: Lanes, b: Lanes) -> Lanes {
    let ([x, y, z, w], [e, f, g, h]) = (a.lanes(), b.lanes());
    b * w + Lanes::new([h, -g, f, -e]) * x + Lanes::new([g, h, -e, -f]) * y + Lanes::new([-f, e, h, -g]) * z
}

/// [`Lanes::log2`] of one number.
#[inline]
pub(super) fn log2(x: f32) -> f32 {
    x.abs().to_bits() as i32 as f32 * (1.0 / 8_388_608.0) - 127.0
}

/// [`Lanes::log2_1p`] of one number.
#[inline]
pub(super) fn log2_1p(x: f32) -> f32 {
    log2(x.abs() + 1.0)
}

/// Features that both coders use.
pub(super) const CORE: usize = 8;
/// All features that a sum may have.
pub(super) const FEATURES: usize = 24;

/// Features of one column, or their weights.
pub(super) type Features = [f32; FEATURES];

/// Features of a field, each on all axes; or their weights.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Fan(pub(super) [Lanes; FEATURES]);

impl Fan {
    /// Those of one axis.
    pub(super) fn axis(&self, axis: usize) -> Features {
        self.0.map(|lanes| lanes.lanes()[axis])
    }

    /// The features of the axes side by side.
    pub(super) fn of(axes: [&Features; 3]) -> Self {
        let [x, y, z] = axes;
        Self(core::array::from_fn(|n| Lanes::new([x[n], y[n], z[n], 0.0])))
    }
}

/// A weighted sum of features on every axis, added up as they come. A trainer also has them noted.
pub(super) struct Sum<'a> {
    weights: &'a Fan,
    notes: Option<&'a mut Fan>,
    /// Nothing before the first.
    total: Option<Lanes>,
}

impl<'a> Sum<'a> {
    #[inline]
    pub(super) fn new(weights: &'a Fan, notes: Option<&'a mut Fan>) -> Self {
        Self { weights, notes, total: None }
    }

    #[inline]
    pub(super) fn add(&mut self, place: usize, feature: Lanes) {
        if let Some(notes) = &mut self.notes {
            notes.0[place] = feature;
        }
        let product = feature.times(self.weights.0[place]);
        self.total = Some(self.total.map_or(product, |total| total + product));
    }

    /// A feature that is the same on every axis.
    #[inline]
    pub(super) fn add_one(&mut self, place: usize, feature: f32) {
        self.add(place, Lanes::splat(feature));
    }

    /// Four of these, from `first` on.
    #[inline]
    pub(super) fn add_four(&mut self, first: usize, features: Lanes) {
        for (n, feature) in features.lanes().into_iter().enumerate() {
            self.add_one(first + n, feature);
        }
    }

    /// Each axis of a vector as one of these.
    #[inline]
    pub(super) fn add_axes(&mut self, first: usize, features: Lanes) {
        let [x, y, z, _] = features.lanes();
        for (n, feature) in [x, y, z].into_iter().enumerate() {
            self.add_one(first + n, feature);
        }
    }

    #[inline]
    pub(super) fn total(self) -> Lanes {
        self.total.unwrap_or_default()
    }
}

/// The sum of the products of the first eight features, in the same order everywhere.
#[inline]
pub(super) fn weigh(features: [f32; CORE], weights: &Features) -> f32 {
    let half =
        |all: &[f32], first: usize| Lanes::new([all[first], all[first + 1], all[first + 2], all[first + 3]]);
    let [a, b, c, d] =
        (half(&features, 0).times(half(weights, 0)) + half(&features, 4).times(half(weights, 4))).lanes();
    (a + b) + (c + d)
}

#[cfg(test)]
mod tests {
    use super::super::page;
    use super::*;

    #[test]
    fn logarithms_are_as_the_page_says() {
        for (left, right) in page::rows("coder log2") {
            let number = left.parse().unwrap();
            assert_eq!(log2(number).to_string(), right, "{left}");
            assert_eq!(Lanes::splat(number).log2(), Lanes::splat(log2(number)));
        }
    }

    #[test]
    fn rounding_is_half_away_from_zero() {
        let rounded = |lanes| Lanes::new(lanes).within(-1e9, 1e9).rounded().values();
        assert_eq!(rounded([0.5, -0.5, 0.49, -1.6]), [1, -1, 0, -2]);
        assert_eq!(rounded([f32::NAN, f32::INFINITY, -1e30, 3e9]), [0, 0, -1_000_000_000, 1_000_000_000]);
    }

    #[test]
    fn quaternions_turn_vectors() {
        // A quarter turn about z takes x to y.
        let half = core::f32::consts::FRAC_1_SQRT_2;
        let (x, y, z) = (
            Lanes::new([1.0, 0.0, 0.0, 0.0]),
            Lanes::new([0.0, 1.0, 0.0, 0.0]),
            Lanes::new([0.0, 0.0, 1.0, 0.0]),
        );
        let about_z = Lanes::new([0.0, 0.0, half, half]);
        let about_x = Lanes::new([half, 0.0, 0.0, half]);
        let near = |a: Lanes, b: Lanes| assert!((a - b).length() < 1e-6, "{a:?} {b:?}");
        near(x.turned(about_z), y);
        let twice = quaternion_product(about_z, about_z);
        near(x.turned(twice), -x);
        // First about z: x to y; then about x: y to z.
        let both = quaternion_product(about_x, about_z);
        near(x.turned(both), z);
        near(Lanes::turned_x(both), x.turned(both));
        near(Lanes::turned_z(both), z.turned(both));
    }
}
