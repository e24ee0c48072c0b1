package cloud

import cloudprovider "k8s.io/cloud-provider"

// provider is a cloud that has nothing but load balancers.
type provider struct{ balancer *balancer }

var _ cloudprovider.Interface = provider{}

func (p provider) LoadBalancer() (cloudprovider.LoadBalancer, bool) { return p.balancer, true }

func (provider) Initialize(cloudprovider.ControllerClientBuilder, <-chan struct{}) {}
func (provider) Instances() (cloudprovider.Instances, bool)                        { return nil, false }
func (provider) InstancesV2() (cloudprovider.InstancesV2, bool)                    { return nil, false }
func (provider) Zones() (cloudprovider.Zones, bool)                                { return nil, false }
func (provider) Clusters() (cloudprovider.Clusters, bool)                          { return nil, false }
func (provider) Routes() (cloudprovider.Routes, bool)                              { return nil, false }
func (provider) ProviderName() string                                              { return "kdoctor-lab" }
func (provider) HasClusterID() bool                                                { return true }
