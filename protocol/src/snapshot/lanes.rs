//! Four floats side by side: the axes of a vector, or of its features. Compilers make one instruction of each line.

#![expect(clippy::many_single_char_names, reason = "axes, times and rates have their names of mathematics")]

use core::array::from_fn;
use core::ops::{Add, Mul, Neg, Sub};

/// A vector of up to three axes; what is behind the last is 0 or ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Lanes(pub(super) [f32; 4]);

impl Lanes {
    pub(super) const ZERO: Self = Self([0.0; 4]);
    pub(super) const X: Self = Self([1.0, 0.0, 0.0, 0.0]);
    pub(super) const Z: Self = Self([0.0, 0.0, 1.0, 0.0]);

    /// The same on every axis.
    #[inline]
    pub(super) fn splat(value: f32) -> Self {
        Self([value; 4])
    }

    /// Axis by axis.
    #[inline]
    pub(super) fn times(self, other: Self) -> Self {
        Self(from_fn(|n| self.0[n] * other.0[n]))
    }

    #[inline]
    pub(super) fn abs(self) -> Self {
        Self(self.0.map(f32::abs))
    }

    #[inline]
    pub(super) fn dot(self, other: Self) -> f32 {
        let [x, y, z, _] = self.times(other).0;
        x + y + z
    }

    #[inline]
    pub(super) fn cross(self, other: Self) -> Self {
        let ([a, b, c, _], [x, y, z, _]) = (self.0, other.0);
        Self([b * z - c * y, c * x - a * z, a * y - b * x, 0.0])
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

    /// [`log2`] of each axis.
    #[inline]
    pub(super) fn log2(self) -> Self {
        Self(self.0.map(log2))
    }

    /// [`log2_1p`] of the size of each axis.
    #[inline]
    pub(super) fn log2_1p(self) -> Self {
        Self(self.0.map(|axis| log2_1p(axis.abs())))
    }

    /// Turned by a unit quaternion, in xyzw order.
    #[inline]
    pub(super) fn turned(self, by: Self) -> Self {
        // v + 2 w (q × v) + 2 q × (q × v)
        let once = by.cross(self) * 2.0;
        self + once * by.0[3] + by.cross(once)
    }
}

impl Add for Lanes {
    type Output = Self;
    #[inline]
    fn add(self, other: Self) -> Self {
        Self(from_fn(|n| self.0[n] + other.0[n]))
    }
}

impl Sub for Lanes {
    type Output = Self;
    #[inline]
    fn sub(self, other: Self) -> Self {
        Self(from_fn(|n| self.0[n] - other.0[n]))
    }
}

impl Mul<f32> for Lanes {
    type Output = Self;
    #[inline]
    fn mul(self, factor: f32) -> Self {
        Self(self.0.map(|axis| axis * factor))
    }
}

impl Neg for Lanes {
    type Output = Self;
    #[inline]
    fn neg(self) -> Self {
        Self(self.0.map(|axis| -axis))
    }
}

/// The product of two quaternions in xyzw order: first `b`, then `a`.
#[inline]
pub(super) fn quaternion_product(a: Lanes, b: Lanes) -> Lanes {
    let vector = b * a.0[3] + a * b.0[3] + a.cross(b);
    let [x, y, z, _] = vector.0;
    Lanes([x, y, z, a.0[3] * b.0[3] - a.dot(b)])
}

/// Close to the binary logarithm of `1 + x`, for `x` from 0: the exponent, and the mantissa as its fraction.
///
/// Source: the usual reading of a float's bits as a fixed-point logarithm (J. N. Mitchell, 1962).
#[inline]
pub(super) fn log2_1p(x: f32) -> f32 {
    log2(x + 1.0)
}

/// Close to the binary logarithm; of what is not a number, that of the largest value.
#[inline]
pub(super) fn log2(x: f32) -> f32 {
    let bits = x.min(1e30).to_bits() as i32;
    bits as f32 * (1.0 / 8_388_608.0) - 127.0
}

/// Features of a field, each on all axes; or their weights.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Fan {
    pub(super) core: [Lanes; CORE],
    pub(super) fine: [Lanes; FINE],
}

/// Features that both coders use.
pub(super) const CORE: usize = 8;
/// Features that only the `dense` coder uses.
pub(super) const FINE: usize = 16;

impl Fan {
    /// The weighted sum on every axis, added in order.
    #[inline]
    pub(super) fn weigh<const DENSE: bool>(&self, weights: &Self) -> Lanes {
        let mut sum = self.core[0].times(weights.core[0]);
        for (feature, weight) in self.core[1..].iter().zip(&weights.core[1..]) {
            sum = sum + feature.times(*weight);
        }
        if DENSE {
            for (feature, weight) in self.fine.iter().zip(&weights.fine) {
                sum = sum + feature.times(*weight);
            }
        }
        sum
    }

    /// The features of one axis.
    pub(super) fn axis(&self, axis: usize) -> super::predict::Features {
        super::predict::Features {
            core: self.core.map(|lanes| lanes.0[axis]),
            fine: self.fine.map(|lanes| lanes.0[axis]),
        }
    }

    /// Puts the features of one axis in.
    pub(super) fn set_axis(&mut self, axis: usize, features: &super::predict::Features) {
        for (lanes, feature) in self.core.iter_mut().zip(features.core) {
            lanes.0[axis] = feature;
        }
        for (lanes, feature) in self.fine.iter_mut().zip(features.fine) {
            lanes.0[axis] = feature;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::page;
    use super::*;

    #[test]
    fn logarithms_are_as_the_page_says() {
        for (left, right) in page::rows("coder log2") {
            assert_eq!(log2(left.parse().unwrap()).to_string(), right, "{left}");
        }
    }

    #[test]
    fn quaternions_turn_vectors() {
        // A quarter turn about z takes x to y.
        let half = core::f32::consts::FRAC_1_SQRT_2;
        let quarter = Lanes([0.0, 0.0, half, half]);
        let way = Lanes::X.turned(quarter) - Lanes([0.0, 1.0, 0.0, 0.0]);
        assert!(way.length() < 1e-6);
        let twice = quaternion_product(quarter, quarter);
        assert!((Lanes::X.turned(twice) + Lanes::X).length() < 1e-6);
    }
}
