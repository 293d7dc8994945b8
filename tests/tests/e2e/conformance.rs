//! The suite that every key service passes, against the running program and without a wire between.

use std::sync::Arc;

use claviger_client::{Client, ClientConfig};
use claviger_operations::Caller;
use claviger_testkit::{Service, kms_conformance};
use claviger_tests::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_running_program_does_what_every_key_service_must_do() {
    let site = Site::new();
    let service = site.start();
    let config = ClientConfig::new(site.data_socket()).with_admin_socket(site.admin_socket());
    kms_conformance::run(Arc::new(Client::new(config)), "conformance").await;
    service.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operations_do_what_every_key_service_must_do() {
    let service = Service::start().await;
    let caller = Caller::in_process(Service::own_principal()).unwrap();
    let kms = service.operations().local_kms(caller);
    kms_conformance::run(Arc::new(kms), "conformance").await;
    service.stop().await;
}
