//! The construction from outside: vectors, properties, and media that fail.

#[cfg(test)]
mod faults;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod support;
#[cfg(test)]
mod vectors;
