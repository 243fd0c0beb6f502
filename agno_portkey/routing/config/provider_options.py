"""What single providers need beside a key: regions, deployments, projects and their secrets."""

from __future__ import annotations

from agno_portkey.routing.config.parts import Part, Text
from agno_portkey.routing.config.references import Secret, SecretObject

__all__ = ["ProviderOptions"]


class ProviderOptions(Part):
    """The options that a target may have for one provider alone, by the gateway's names.

    Source: `Options` in the gateway's `src/types/requestBody.ts`.
    """

    openai_organization: Text | None = None
    openai_project: Text | None = None
    openai_beta: Text | None = None

    anthropic_beta: Text | None = None
    anthropic_version: Text | None = None

    resource_name: Text | None = None
    deployment_id: Text | None = None
    api_version: Text | None = None
    azure_ad_token: Secret | None = None
    azure_api_version: Text | None = None
    azure_auth_mode: Text | None = None
    azure_deployment_name: Text | None = None
    azure_endpoint_name: Text | None = None
    azure_entra_client_id: Text | None = None
    azure_entra_client_secret: Secret | None = None
    azure_entra_scope: Text | None = None
    azure_entra_tenant_id: Text | None = None
    azure_extra_parameters: Text | None = None
    azure_foundry_url: Text | None = None
    azure_managed_client_id: Text | None = None
    azure_model_name: Text | None = None
    azure_workload_client_id: Text | None = None

    aws_access_key_id: Secret | None = None
    aws_secret_access_key: Secret | None = None
    aws_session_token: Secret | None = None
    aws_auth_type: Text | None = None
    aws_bedrock_model: Text | None = None
    aws_external_id: Text | None = None
    aws_region: Text | None = None
    aws_role_arn: Text | None = None
    aws_s3_bucket: Text | None = None
    aws_s3_object_key: Text | None = None
    aws_server_side_encryption: Text | None = None
    aws_service: Text | None = None
    foundation_model: Text | None = None

    amzn_sagemaker_custom_attributes: Text | None = None
    amzn_sagemaker_enable_explanations: Text | None = None
    amzn_sagemaker_inference_component: Text | None = None
    amzn_sagemaker_inference_id: Text | None = None
    amzn_sagemaker_model_name: Text | None = None
    amzn_sagemaker_session_id: Text | None = None
    amzn_sagemaker_target_container_hostname: Text | None = None
    amzn_sagemaker_target_model: Text | None = None
    amzn_sagemaker_target_variant: Text | None = None

    vertex_batch_endpoint: Text | None = None
    vertex_model_name: Text | None = None
    vertex_project_id: Text | None = None
    vertex_region: Text | None = None
    vertex_service_account_json: SecretObject | None = None
    vertex_storage_bucket_name: Text | None = None

    fireworks_account_id: Text | None = None
    huggingface_base_url: Text | None = None
    mistral_fim_completion: Text | None = None
    snowflake_account: Text | None = None
    stability_client_id: Text | None = None
    stability_client_user_id: Text | None = None
    stability_client_version: Text | None = None
    workers_ai_account_id: Text | None = None

    oracle_api_version: Text | None = None
    oracle_compartment_id: Text | None = None
    oracle_fingerprint: Text | None = None
    oracle_key_passphrase: Secret | None = None
    oracle_private_key: Secret | None = None
    oracle_region: Text | None = None
    oracle_serving_mode: Text | None = None
    oracle_tenancy: Text | None = None
    oracle_user: Text | None = None
