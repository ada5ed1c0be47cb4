using System.Net;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using System.ServiceModel;
using System.ServiceModel.Channels;
using System.ServiceModel.Description;
using System.ServiceModel.Dispatcher;
using System.ServiceModel.Security;
using System.Text;
using System.Xml;

namespace Peers;

/// <summary>Makes channels as the options say.</summary>
sealed class Channels(Options options)
{
    const int Large = 256 * 1024 * 1024;

    // One factory for each contract and address.
    readonly Dictionary<(Type, string), ChannelFactory> factories = [];
    // They stay open until the end.
    readonly List<ChannelFactory> opened = [];

    public T Create<T>(string address)
    {
        ChannelFactory<T> factory;
        lock (factories)
        {
            if (!options.Has("newfactory") && factories.TryGetValue((typeof(T), address), out ChannelFactory? open))
                factory = (ChannelFactory<T>)open;
            else
            {
                factory = new(Binding(), Address(address));
                Open(factory, address);
            }
        }
        return IsOverload ? factory.CreateChannel(factory.Endpoint.Address, Via(address)) : factory.CreateChannel();
    }

    public T CreateDuplex<T>(string address, InstanceContext callback)
    {
        DuplexChannelFactory<T> factory = new(callback, Binding(), Address(address));
        lock (factories) Open(factory, address);
        return IsOverload ? factory.CreateChannel(callback, factory.Endpoint.Address, Via(address)) : factory.CreateChannel();
    }

    public void CloseFactories()
    {
        foreach (ChannelFactory factory in opened)
            try { factory.Close(TimeSpan.FromSeconds(5)); }
            catch (Exception e) { Report.Exception("factory", e); }
    }

    bool IsOverload => options.Has("via") && options.Get("viahow", "overload") == "overload";

    Uri Via(string address) => new((address == options.Get("path2") ? options.Get("via2") : null) ?? options.Get("via")!);

    void Open(ChannelFactory factory, string address)
    {
        if (options.Get("ca", "ignore") == "ignore")
            factory.Credentials.ServiceCertificate.SslCertificateAuthentication = new X509ServiceCertificateAuthentication
            {
                CertificateValidationMode = X509CertificateValidationMode.None,
                RevocationMode = X509RevocationMode.NoCheck,
            };
        if (options.Get("clientcert") is string certificate)
            factory.Credentials.ClientCertificate.Certificate =
                X509CertificateLoader.LoadPkcs12FromFile(certificate, options.Get("clientcertpass", ""));
        if (options.Get("user") is string user)
            factory.Credentials.Windows.ClientCredential = new(user, options.Get("password", ""), options.Get("domain", ""));
        if (options.Has("via") && !IsOverload) factory.Endpoint.EndpointBehaviors.Add(new ViaBehavior(Via(address)));
        factory.Open();
        opened.Add(factory);
        factories[(factory.Endpoint.Contract.ContractType, address)] = factory;
    }

    EndpointAddress Address(string text)
    {
        Uri uri = new(text);
        if (options.Get("spn") is string spn) return new(uri, new SpnEndpointIdentity(spn));
        if (options.Get("upn") is string upn) return new(uri, new UpnEndpointIdentity(upn));
        string dns = options.Get("dns", options.Get("security") == "tls" ? uri.DnsSafeHost : "none");
        return dns == "none" ? new(uri) : new(uri, new DnsEndpointIdentity(dns));
    }

    Binding Binding()
    {
        NetTcpBinding tcp = new(SecurityMode.None) { TransferMode = Mode(), MaxReceivedMessageSize = Large };
        if (tcp.TransferMode == TransferMode.Buffered) tcp.MaxBufferSize = Large;
        XmlDictionaryReaderQuotas.Max.CopyTo(tcp.ReaderQuotas);
        if (options.Has("pool")) tcp.MaxConnections = options.Get("pool", 10);
        Secure(tcp.Security);
        Binding binding = options.Has("encoding") || options.Has("idle") || options.Has("lease") || options.Has("buffer") ? Custom(tcp) : tcp;
        binding.OpenTimeout = binding.CloseTimeout = binding.SendTimeout = options.Timeout;
        binding.ReceiveTimeout = TimeSpan.FromMinutes(10);
        return binding;
    }

    TransferMode Mode() => options.Get("mode", "buffered") switch
    {
        "buffered" or "duplex" => TransferMode.Buffered,
        "streamed" => TransferMode.Streamed,
        "streamedrequest" => TransferMode.StreamedRequest,
        "streamedresponse" => TransferMode.StreamedResponse,
        string other => throw new ArgumentException($"--mode {other}"),
    };

    void Secure(NetTcpSecurity security)
    {
        switch (options.Get("security", "none"))
        {
            case "none": return;
            case "tls":
                security.Transport.ClientCredentialType =
                    options.Has("clientcert") ? TcpClientCredentialType.Certificate : TcpClientCredentialType.None;
                if (options.Get("tlsversion") is string version)
                    security.Transport.SslProtocols = version == "1.3" ? SslProtocols.Tls13 : SslProtocols.Tls12;
                break;
            case "windows":
                security.Transport.ClientCredentialType = TcpClientCredentialType.Windows;
                if (options.Get("protection") is string level) security.Transport.ProtectionLevel = Enum.Parse<ProtectionLevel>(level, true);
                break;
            case string other: throw new ArgumentException($"--security {other}");
        }
        security.Mode = SecurityMode.Transport;
    }

    CustomBinding Custom(NetTcpBinding tcp)
    {
        CustomBinding custom = new(tcp);
        TcpTransportBindingElement transport = custom.Elements.Find<TcpTransportBindingElement>();
        transport.ConnectionBufferSize = options.Get("buffer", transport.ConnectionBufferSize);
        transport.ConnectionPoolSettings.IdleTimeout = TimeSpan.FromSeconds(options.Get("idle", 120.0));
        transport.ConnectionPoolSettings.LeaseTimeout = TimeSpan.FromSeconds(options.Get("lease", 300.0));
        string encoding = options.Get("encoding", "binary");
        switch (encoding)
        {
            case "binary": break;
            case "text11" or "text12" or "text12-unicode" or "text12-bigendian":
                int at = custom.Elements.IndexOf(custom.Elements.Find<MessageEncodingBindingElement>());
                TextMessageEncodingBindingElement text = new(
                    MessageVersion.CreateVersion(encoding == "text11" ? EnvelopeVersion.Soap11 : EnvelopeVersion.Soap12, AddressingVersion.WSAddressing10),
                    encoding switch { "text12-unicode" => Encoding.Unicode, "text12-bigendian" => Encoding.BigEndianUnicode, _ => Encoding.UTF8 });
                XmlDictionaryReaderQuotas.Max.CopyTo(text.ReaderQuotas);
                custom.Elements[at] = text;
                break;
            default: throw new ArgumentException($"--encoding {encoding}");
        }
        return custom;
    }
}

/// <summary>What ClientViaBehavior of the .NET Framework does.</summary>
sealed class ViaBehavior(Uri via) : IEndpointBehavior
{
    public void AddBindingParameters(ServiceEndpoint endpoint, BindingParameterCollection parameters) { }
    public void ApplyDispatchBehavior(ServiceEndpoint endpoint, EndpointDispatcher dispatcher) { }
    public void ApplyClientBehavior(ServiceEndpoint endpoint, ClientRuntime runtime) => runtime.Via = via;
    public void Validate(ServiceEndpoint endpoint) { }
}
