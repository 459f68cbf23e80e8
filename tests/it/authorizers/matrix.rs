//! The gate's own matrix through each proxy: the same refusals, the same permissions. What a proxy cannot carry is refused, and
//! `Front::cannot_carry` says why.

use crate::gate::{allowed, conditions, credentials, permissions, requests, tags, unmatched};
use crate::harness::front::{Front, behind};

fn the_matrix(front: Front) {
    if !front.is_installed("the matrix") {
        return;
    }
    behind(front, || {
        credentials::a_bad_credential_is_refused_by_every_service();
        permissions::each_method_is_open_to_the_callers_in_the_policy_and_no_others();
        permissions::a_permission_holds_in_the_project_that_it_was_granted_in();
        requests::an_undeclared_method_is_not_found();
        requests::another_services_operations_are_not_found_on_a_host();
        requests::a_cancel_with_a_body_is_refused_however_it_is_framed();
        requests::a_body_is_judged_only_after_the_caller();
        requests::a_query_that_names_another_operation_is_refused();
        allowed::cancels_pass_with_whatever_official_clients_send_as_an_empty_message();
        allowed::each_of_the_two_translation_scopes_alone_suffices();
        allowed::a_token_without_optional_parts_is_accepted();
        conditions::an_encoded_path_is_denied_like_the_plain_one();
        tags::a_deny_rule_on_a_tag_holds_where_the_tag_is_set();
        unmatched::a_deny_rule_holds_by_the_number_and_by_the_id_of_a_project();
    });
}

#[test]
fn envoy_gives_the_decisions_of_the_matrix() {
    the_matrix(Front::Envoy);
}

#[test]
fn nginx_gives_the_decisions_of_the_matrix() {
    the_matrix(Front::Nginx);
}

#[test]
fn traefik_gives_the_decisions_of_the_matrix() {
    the_matrix(Front::Traefik);
}

#[test]
fn caddy_gives_the_decisions_of_the_matrix() {
    the_matrix(Front::Caddy);
}

#[test]
fn haproxy_gives_the_decisions_of_the_matrix() {
    the_matrix(Front::Haproxy);
}
