//! The door from outside: a real service, real sockets, and callers who do it wrong.

#[cfg(test)]
mod campaigns;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod lifetime;
#[cfg(test)]
mod openapi;
#[cfg(test)]
mod openapi_support;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod tls_bad_input;
#[cfg(test)]
mod tls_certificates;
#[cfg(test)]
mod tls_reload;
#[cfg(test)]
mod tls_support;
