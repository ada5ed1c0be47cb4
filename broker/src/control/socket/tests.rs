use tokio::sync::mpsc;

use super::*;
use crate::config::Config;
use crate::control::ports::Ports;
use crate::control::registry::Registry;
use crate::failure::Part;

/// Of what happens before somebody watches nothing tells.
#[tokio::test]
async fn a_socket_that_is_removed_before_its_folder_is_watched_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { control: Some(folder.path().join("control")), ..Config::default() };
    let (jobs, _jobs_to_do) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared::new(&config, jobs).unwrap());
    let ((socket, access), _) = open(&config, [None, None]).unwrap();
    std::fs::remove_file(socket.path()).unwrap();
    let socket = Arc::new(socket);

    let ports = Ports::new(Arc::clone(&shared.commands), shared.jobs.clone(), Vec::new());
    let quotas = Arc::new(Quotas::new(&config.quota, &shared.descriptors));
    let registry = Registry::new(Arc::clone(&shared), Arc::clone(&quotas), ports);
    let part = Part::new(&shared.failures, "the registry's thread");
    let (registrar, thread) = Registrar::start(registry, part).unwrap();
    let configuration = Configuration::new(Arc::clone(&shared), registrar.clone(), Arc::clone(&quotas), None);
    let configuration = Arc::new(configuration);
    let serving = tokio::spawn(serve(
        Arc::clone(&socket),
        access,
        registrar,
        quotas,
        shared,
        configuration,
        Vec::new(),
    ));
    let opened = async {
        while !socket.path().exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), opened).await.expect("it is opened again");
    serving.abort();
    let _ = serving.await;
    thread.join().unwrap();
}
