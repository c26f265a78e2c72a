//! The API server's own admission plugin ImagePolicyWebhook asks us too: before any webhook, and about less.

use std::fs;

use crate::support::{
    cluster::Cluster,
    images::Images,
    objects,
    webhook::{Settings, Webhook},
};

#[test]
fn the_image_policy_plugin_is_answered_and_an_answer_is_never_left_to_its_default() {
    let cluster = Cluster::shared();
    let images = Images::shared();
    let name = "image-policy";
    let settings = Settings::file(cluster, name, &images.chain, &images.chain.policy());
    // The port is what is wanted of it.
    let webhook = Webhook::start(cluster, name, &settings, &[]);
    let folder = cluster.folder("image-policy-plane");
    // `defaultAllow`: what the plugin does on its own would be seen.
    let configuration = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n\
        - name: ImagePolicyWebhook\n  configuration:\n    imagePolicy: {kubeConfigFile: webhook.kubeconfig, \
        allowTTL: 1, denyTTL: 1, retryBackoff: 100, defaultAllow: true}\n";
    fs::write(folder.join("admission.yaml"), configuration).unwrap();
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\nclusters: [{{name: pratique, cluster: {{certificate-authority: pki/ca.pem, \
         server: \"https://127.0.0.1:{}/image-policy\"}}}}]\nusers: [{{name: api, user: {{}}}}]\n\
         contexts: [{{name: pratique, context: {{cluster: pratique, user: api}}}}]\ncurrent-context: pratique\n",
        webhook.port()
    );
    fs::write(folder.join("webhook.kubeconfig"), kubeconfig).unwrap();
    let flags = "--enable-admission-plugins=ImagePolicyWebhook --admission-control-config-file=admission.yaml";
    let api = cluster.another("image-policy-plane", flags);
    api.admin.ok("create serviceaccount default --namespace default");
    let kubectl = api.admin.namespace("default");

    kubectl.apply(&objects::pod("good", &images.good)).succeeded();
    let text = kubectl.apply(&objects::pod("stolen", &images.stolen)).refused();
    assert!(text.contains("image policy webhook backend denied one or more images"), "{text}");
    assert!(text.contains("[in-toto/threshold-not-met] spec.containers[0].image"), "{text}");
    let text = kubectl.run(&format!("debug good --image={} -c debugger", images.unknown)).refused();
    assert!(text.contains("[image/unknown]"), "{text}");
    // It is not asked about image volumes, which is why it does not take a webhook's place.
    let mut pod = objects::pod("volume", &images.good);
    pod["spec"]["volumes"] = serde_json::json!([{"name": "data", "image": {"reference": images.stolen}}]);
    kubectl.apply(&pod).succeeded();
}
