// Calls the nine actions and the catalog of a sandbox server with the client that openapi-generator generates from the API
// document. The variable SANDBOX is the path of the server's sandbox.json.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	"norman-client/norman"
)

type sandboxFile struct {
	APIURL              string `json:"api_url"`
	Token               string `json:"token_key"`
	CredentialID        string `json:"credential_id"`
	SubscriptionID      string `json:"subscription_id"`
	ClientID            string `json:"client_id"`
	ClientSecret        string `json:"client_secret"`
	Location            string `json:"location"`
	KubernetesVersion   string `json:"kubernetes_version"`
	KubernetesVersion2  string `json:"kubernetes_version_2"`
	ResourceGroup       string `json:"resource_group"`
	VirtualNetwork      string `json:"virtual_network"`
	Subnet              string `json:"subnet"`
	ImportedClusterName string `json:"imported_cluster_name"`
}

func check(condition bool, what string, seen any) {
	if !condition {
		panic(fmt.Sprintf("%s: %+v", what, seen))
	}
}

// expectSuccess returns the body of a successful response.
func expectSuccess[T any](body T, response *http.Response, err error) T {
	if err != nil {
		panic(describe(err))
	}
	check(response.StatusCode < 300, "a success", response.Status)
	return body
}

// expectError returns the typed body of an error with a status.
func expectError[T any](status int, response *http.Response, err error) T {
	var failure *norman.GenericOpenAPIError
	check(errors.As(err, &failure) && response.StatusCode == status, fmt.Sprintf("status %d", status), err)
	body, ok := failure.Model().(T)
	check(ok, "the type of the error", failure.Model())
	return body
}

func describe(err error) string {
	var failure *norman.GenericOpenAPIError
	if errors.As(err, &failure) {
		return fmt.Sprintf("%v: %s", err, failure.Body())
	}
	return err.Error()
}

func find[T any](list []T, what string, is func(T) bool) T {
	at := slices.IndexFunc(list, is)
	check(at >= 0, what, list)
	return list[at]
}

func newClient(sandbox sandboxFile, token string) *norman.APIClient {
	configuration := norman.NewConfiguration()
	configuration.Servers = norman.ServerConfigurations{{URL: sandbox.APIURL}}
	configuration.AddDefaultHeader("Authorization", "Bearer "+token)
	return norman.NewAPIClient(configuration)
}

func main() {
	text, err := os.ReadFile(os.Getenv("SANDBOX"))
	check(err == nil, "the file of the sandbox", err)
	var sandbox sandboxFile
	check(json.Unmarshal(text, &sandbox) == nil, "the file of the sandbox", string(text))
	client := newClient(sandbox, sandbox.Token)
	ctx := context.Background()
	actions(ctx, client, sandbox)
	upgrades(ctx, client, sandbox)
	catalog(ctx, client, sandbox)
	refusals(ctx, client, sandbox)
	fmt.Println("the Go client gets all nine actions and the catalog")
}

func actions(ctx context.Context, client *norman.APIClient, sandbox sandboxFile) {
	api, stored, region := client.AKSActionsAPI, sandbox.CredentialID, sandbox.Location
	inline := norman.NewCredentialBody(sandbox.ClientID, sandbox.ClientSecret, sandbox.SubscriptionID)
	response, err := api.PostAksCheckCredentials(ctx).CredentialBody(*inline).Execute()
	check(err == nil && response.StatusCode == http.StatusOK, "a good credential", err)
	wrong := norman.NewCredentialBody(sandbox.ClientID, "wrong", sandbox.SubscriptionID)
	response, err = api.PostAksCheckCredentials(ctx).CredentialBody(*wrong).Execute()
	bad := expectError[norman.CheckRefusal](http.StatusUnauthorized, response, err)
	check(bad.GetCode() == "AADSTS7000215", "its code", bad)

	clusters := expectSuccess(api.GetAksClusters(ctx).CloudCredentialId(stored).Execute())
	known := find(clusters, "a cluster", func(cluster norman.AksCluster) bool {
		return cluster.ClusterName == sandbox.ImportedClusterName
	})
	check(known.ResourceGroup == sandbox.ResourceGroup && known.Location == region, "its place", known)
	locations := expectSuccess(api.GetAksLocations(ctx).CloudCredentialId(stored).Execute())
	find(locations, "locations", func(location norman.AksLocation) bool { return location.DisplayName == "East US" })
	regions := expectSuccess(api.GetAksRegions(ctx).CloudCredentialId(stored).Execute())
	find(regions, "regions", func(region norman.AksRegion) bool {
		return region.Name == "eastus" && region.AvailabilityZones
	})
	versions := expectSuccess(api.GetAksVersions(ctx).CloudCredentialId(stored).Region(region).Execute())
	older, newer := slices.Index(versions, sandbox.KubernetesVersion), slices.Index(versions, sandbox.KubernetesVersion2)
	check(older >= 0 && older < newer, "versions", versions)
	sizes := expectSuccess(api.GetAksVmSizes(ctx).CloudCredentialId(stored).Region(region).Execute())
	check(len(sizes) > 100 && slices.Contains(sizes, "Standard_D2s_v5"), "sizes", len(sizes))
	sizesV2 := expectSuccess(api.GetAksVmSizesV2(ctx).CloudCredentialId(stored).Region(region).Execute())
	size := find(sizesV2, "sizes V2", func(size norman.AksVmSize) bool { return size.Name == "Standard_D2s_v5" })
	check(size.AcceleratedNetworkingSupported && len(size.AvailabilityZones) > 0, "a size V2", size)
	networks := expectSuccess(api.GetAksVirtualNetworks(ctx).CloudCredentialId(stored).Region(region).Execute())
	network := find(networks, "networks", func(network norman.AksVirtualNetwork) bool {
		return network.Name == sandbox.VirtualNetwork
	})
	find(network.Subnets, "subnets", func(subnet norman.AksSubnet) bool { return subnet.Name == sandbox.Subnet })

	// The same with the credential in the body.
	body := norman.NewCredentialAndRegion(sandbox.ClientID, sandbox.ClientSecret, sandbox.SubscriptionID)
	_, response, err = api.PostAksVersions(ctx).CredentialAndRegion(*body).Execute()
	unasked := expectError[norman.MetaError](http.StatusBadRequest, response, err)
	check(unasked.Error == "region is required", "no region", unasked)
	body.SetRegion(region)
	posted := expectSuccess(api.PostAksVersions(ctx).CredentialAndRegion(*body).Execute())
	check(slices.Equal(posted, versions), "versions by POST", posted)
}

func upgrades(ctx context.Context, client *norman.APIClient, sandbox sandboxFile) {
	config := norman.NewAksClusterConfigSpec()
	config.SetImported(true)
	config.SetClusterName(sandbox.ImportedClusterName)
	config.SetResourceGroup(sandbox.ResourceGroup)
	config.SetResourceLocation(sandbox.Location)
	config.SetAzureCredentialSecret(sandbox.CredentialID)
	config.SetKubernetesVersion(sandbox.KubernetesVersion)
	input := norman.NewClusterInput("from-go")
	input.SetAksConfig(*config)
	cluster := expectSuccess(client.ClustersAPI.CreateCluster(ctx).ClusterInput(*input).Execute())
	upgrades := expectSuccess(client.AKSActionsAPI.GetAksUpgrades(ctx).CloudCredentialId(sandbox.CredentialID).ClusterId(cluster.Id).Execute())
	check(upgrades.CurrentVersion == sandbox.KubernetesVersion, "the current version", upgrades)
	newer := find(upgrades.Upgrades, "upgrades", func(upgrade norman.AksUpgrade) bool {
		return upgrade.Version == sandbox.KubernetesVersion2
	})
	check(newer.Enabled, "an upgrade that is possible", newer)

	state := func() string {
		seen, response, err := client.ClustersAPI.GetCluster(ctx, cluster.Id).Execute()
		if response != nil && response.StatusCode == http.StatusNotFound {
			gone := expectError[norman.NormanError](http.StatusNotFound, response, err)
			check(gone.Code == "NotFound", "a cluster that is gone", gone)
			return "gone"
		}
		return expectSuccess(seen, response, err).State
	}
	becomes := func(wanted string) {
		for range 300 {
			if state() == wanted {
				return
			}
			time.Sleep(200 * time.Millisecond)
		}
		panic("the cluster does not become " + wanted)
	}
	becomes("active")
	check(expectSuccess(client.ClustersAPI.DeleteCluster(ctx, cluster.Id).Execute()).State == "removing", "a cluster that is being removed", cluster.Id)
	becomes("gone")
}

func catalog(ctx context.Context, client *norman.APIClient, sandbox sandboxFile) {
	api, stored, region := client.CatalogAPI, sandbox.CredentialID, sandbox.Location
	sizes := expectSuccess(api.ListVmSizes(ctx).CloudCredentialId(stored).Region(region).Q("d2s_v5").Count(1000).Execute())
	check(len(sizes.Data) == 1 && sizes.Data[0].Verdict == norman.CATALOGVERDICT_UNUSABLE, "a size that is too many", sizes)
	find(sizes.Data[0].Reasons, "its reason", func(reason norman.CatalogReason) bool {
		return reason.Code == "quotaShort" && reason.Remedy != ""
	})
	page := expectSuccess(api.ListVmSizes(ctx).CloudCredentialId(stored).Region(region).Limit(2).Sort("-vcpus").Execute())
	check(len(page.Data) == 2 && page.GetNext() != "", "a page", page)

	regions := expectSuccess(api.ListRegions(ctx).CloudCredentialId(stored).Region("eastus,westus").VmSize("Standard_D2s_v3").Zones(3).Execute())
	check(regions.Progress.Done == 2 && regions.Data[0].Name == "eastus", "regions", regions)
	check(regions.Data[1].Verdict == norman.CATALOGVERDICT_UNUSABLE, "a region without zones", regions.Data[1])

	minors := expectSuccess(api.ListKubernetesVersions(ctx).CloudCredentialId(stored).Region(region).Preview(false).Execute())
	find(minors.Data, "versions", func(minor norman.CatalogKubernetesVersion) bool {
		return slices.ContainsFunc(minor.Patches, func(patch norman.CatalogPatchVersion) bool {
			return patch.Version == sandbox.KubernetesVersion && len(patch.Upgrades) > 0
		})
	})

	report := expectSuccess(api.CheckStoredCredential(ctx, stored).ResourceGroup([]string{sandbox.ResourceGroup}).Execute())
	check(report.Verdict != norman.CATALOGVERDICT_UNUSABLE && report.Login.Status == "accepted", "a credential", report)
	find(report.Operations, "operations", func(operation norman.CheckedOperation) bool {
		return operation.Action == "Microsoft.ContainerService/managedClusters/write" && operation.Status == "allowed"
	})
	inline := norman.NewCredentialCheckRequest(sandbox.ClientID, "wrong", sandbox.SubscriptionID)
	report = expectSuccess(api.CheckCredential(ctx).CredentialCheckRequest(*inline).Execute())
	check(report.Verdict == norman.CATALOGVERDICT_UNUSABLE && slices.Contains(report.Login.Aadsts, 7000215), "a wrong secret", report)
}

func refusals(ctx context.Context, client *norman.APIClient, sandbox sandboxFile) {
	// A missing credential, and an unknown caller.
	_, response, err := client.CatalogAPI.ListRegions(ctx).CloudCredentialId("cattle-global-data:cc-zzzzz").Execute()
	missing := expectError[norman.NormanError](http.StatusNotFound, response, err)
	check(missing.Code == "NotFound", "no credential", missing)
	stranger := newClient(sandbox, "token-x:y")
	_, response, err = stranger.AKSActionsAPI.GetAksLocations(ctx).CloudCredentialId(sandbox.CredentialID).Execute()
	expectError[norman.UnauthorizedError](http.StatusUnauthorized, response, err)
}
